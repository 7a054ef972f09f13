"""Which request brought a job, and the span of its trace."""

import sqlalchemy as sa
from alembic import op

from renderfarm.migrations.in_use import add_index

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("request_id", sa.String()), if_not_exists=True)
    op.add_column("jobs", sa.Column("traceparent", sa.String()), if_not_exists=True)
    add_index("jobs_by_request", "jobs", ["request_id"], postgresql_where=sa.text("request_id IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("jobs_by_request", "jobs")
    op.drop_column("jobs", "traceparent")
    op.drop_column("jobs", "request_id")
