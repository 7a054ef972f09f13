"""Fast jobs, the worker a unit avoids, and the lines in which accounts take turns."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DEADLINES = (("jobs_to_start", "queue_deadline", "queued"), ("jobs_to_end", "run_deadline", "processing"))
_WAITING = sa.text("status = 'waiting'")


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("ran_wide", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("units", sa.Column("fast", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("units", sa.Column("avoid", sa.String(), nullable=True))
    op.drop_index("jobs_open", "jobs")
    for name, column, status in _DEADLINES:
        op.create_index(name, "jobs", [column], postgresql_where=sa.text(f"status = '{status}'"))
    op.drop_index("units_waiting", "units")
    op.create_index(
        "units_waiting",
        "units",
        ["queue", "fast", "account_id", "pins", "queued_at", "id"],
        postgresql_where=_WAITING,
    )
    op.create_table(
        "lines",
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("fast", sa.Boolean(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column(
            "served_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("joined_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("queue", "fast", "account_id"),
    )
    op.create_index("lines_in_turn", "lines", ["queue", "fast", "served_at", "account_id"])
    op.execute(
        "INSERT INTO lines (queue, fast, account_id)"
        " SELECT DISTINCT queue, fast, account_id FROM units WHERE status = 'waiting'"
    )


def downgrade() -> None:
    op.drop_table("lines")
    for name, _, _ in _DEADLINES:
        op.drop_index(name, "jobs")
    op.create_index(
        "jobs_open", "jobs", ["status"], postgresql_where=sa.text("status IN ('queued', 'processing')")
    )
    op.drop_index("units_waiting", "units")
    op.create_index(
        "units_waiting", "units", ["queue", "account_id", "queued_at", "id"], postgresql_where=_WAITING
    )
    op.drop_column("units", "avoid")
    op.drop_column("units", "fast")
    op.drop_column("jobs", "ran_wide")
