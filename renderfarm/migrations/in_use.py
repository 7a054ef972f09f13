"""Changes to tables that a farm is using meanwhile: nobody who reads or writes is held up for long."""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import text

#: A change to a table waits for those who use it, and everybody who comes later waits behind the change. So
#: it waits for no longer than this, lets them pass, and tries again (``renderfarm.migrate``). That is also
#: less than PostgreSQL lets a deadlock last: it is never a client of the farm that gives in.
BRIEFLY = "SET lock_timeout = '500ms'"
_INVALID = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid"


def add_index(name: str, table: str, columns: list[str], **options: Any) -> None:
    """Add an index beside those who read and write the table; whoever died at it is made up for.

    It commits what the revision has done so far. Since the revision may be run again from its start, add its
    columns ``if_not_exists``.
    """
    context = op.get_context()
    with context.autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for transactions to end, and none waits for it
        if not context.as_sql and op.get_bind().scalar(text(_INVALID), {"name": name}):
            op.drop_index(name, table, postgresql_concurrently=True)
        op.create_index(name, table, columns, if_not_exists=True, postgresql_concurrently=True, **options)
        op.execute(BRIEFLY)
