"""Jobs in the order in which they ended: the exporter reads those that are new to it."""

import sqlalchemy as sa
from alembic import op

from renderfarm.migrations.in_use import add_index

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_index(
        "jobs_ended",
        "jobs",
        ["completed_at"],
        postgresql_include=["model", "mode", "status", "created_at", "started_at"],
        postgresql_where=sa.text("completed_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("jobs_ended", "jobs")
