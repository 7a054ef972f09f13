"""A job is made of the stages that it needs; its video and its price may come later."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WHOLE = """'["reference", "analyse", "join", "sample", "plate", "segment", "stitch"]'"""
_LATER = (("video", postgresql.JSONB()), ("credits", sa.BigInteger()))


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kind", sa.String(), server_default=sa.text("'render'"), nullable=False))
    op.add_column(
        "jobs", sa.Column("stages", postgresql.JSONB(), server_default=sa.text(_WHOLE), nullable=False)
    )
    for name, kind in _LATER:
        op.alter_column("jobs", name, existing_type=kind, nullable=True)


def downgrade() -> None:
    for name, kind in _LATER:
        op.alter_column("jobs", name, existing_type=kind, nullable=False)
    op.drop_column("jobs", "stages")
    op.drop_column("jobs", "kind")
