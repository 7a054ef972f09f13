"""Scopes, expiry and last use of keys; the audit log; free work by account."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("scopes", sa.String(), server_default=sa.text("'read render'"), nullable=False))
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_log_by_account", "audit_log", ["account_id", "id"])
    op.execute(
        """
        CREATE FUNCTION audit_log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the audit log is only ever added to';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_log_stays()"
    )
    op.create_index("jobs_free", "jobs", ["account_id", "created_at"], postgresql_where=sa.text("credits = 0"))
    op.create_index(
        "jobs_given_up",
        "jobs",
        ["account_id", "completed_at"],
        postgresql_where=sa.text("status = 'cancelled' AND started_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("jobs_given_up", "jobs")
    op.drop_index("jobs_free", "jobs")
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION audit_log_stays()")
    for column in ("last_used_at", "expires_at", "scopes"):
        op.drop_column("api_keys", column)
