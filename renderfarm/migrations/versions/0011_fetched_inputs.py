"""Jobs whose inputs are fetched from addresses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    urls = sa.Column("urls", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("jobs", urls)
    op.create_index(
        "jobs_unpriced",
        "jobs",
        ["account_id"],
        postgresql_where=sa.text("credits IS NULL AND status IN ('queued', 'processing')"),
    )


def downgrade() -> None:
    op.drop_index("jobs_unpriced", table_name="jobs")
    op.drop_column("jobs", "urls")
