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
    op.create_table(
        "assets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["source_id"], ["assets.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id"),
    )
    op.create_index("assets_by_account", "assets", ["account_id", "kind", "created_at"])
    op.create_index("ix_assets_source_id", "assets", ["source_id"])
    op.create_table(
        "asset_uses",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("asset_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"]),
        sa.PrimaryKeyConstraint("job_id", "asset_id"),
    )
    op.create_index("ix_asset_uses_asset_id", "asset_uses", ["asset_id"])


def downgrade() -> None:
    op.drop_table("asset_uses")
    op.drop_table("assets")
    for name, kind in _LATER:
        op.alter_column("jobs", name, existing_type=kind, nullable=False)
    op.drop_column("jobs", "stages")
    op.drop_column("jobs", "kind")
