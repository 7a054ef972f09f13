"""Files that go: by their age, from the caches, and with their account."""

import sqlalchemy as sa
from alembic import op

from renderfarm.migrations.in_use import add_index

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # First what the sweepers hold for long: whoever waits for it has no other table yet.
    state = sa.Column("state", sa.String(), server_default=sa.text("'stored'"), nullable=False)
    op.add_column("garbage", state, if_not_exists=True)
    op.add_column("garbage", sa.Column("deleted_size", sa.BigInteger()), if_not_exists=True)
    op.add_column("jobs", sa.Column("files_deleted_at", sa.DateTime(timezone=True)), if_not_exists=True)
    op.add_column("accounts", sa.Column("deleted_at", sa.DateTime(timezone=True)), if_not_exists=True)
    for name in ("outputs", "inputs"):
        add_index(
            f"jobs_with_{name}",
            "jobs",
            ["completed_at"],
            postgresql_where=sa.text(
                f"kind = 'render' AND completed_at IS NOT NULL AND {name} <> '{{}}'::jsonb"
            ),
        )


def downgrade() -> None:
    for name in ("inputs", "outputs"):
        op.drop_index(f"jobs_with_{name}", "jobs")
    op.drop_column("garbage", "deleted_size")
    # Their files are gone, and whoever does not know the states would only delete them again.
    op.execute("DELETE FROM garbage WHERE state <> 'stored'")
    op.drop_column("garbage", "state")
    op.drop_column("accounts", "deleted_at")
    op.drop_column("jobs", "files_deleted_at")
