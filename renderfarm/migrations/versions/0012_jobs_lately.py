"""The jobs that were finished last, of each kind: what estimates are made of."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "jobs_lately",
        "jobs",
        ["model", "kind", "mode", "completed_at"],
        postgresql_where=sa.text("status = 'complete'"),
    )


def downgrade() -> None:
    op.drop_index("jobs_lately", "jobs")
