"""``farm audit``: who did what."""

from __future__ import annotations

import click

from renderfarm.cli.common import account_named, as_json, emit, table, transaction

_ENTRY = ("at", "actor", "action", "account_id", "subject", "details")


@click.command()
@click.option("--account", metavar="NAME", help="Of this account alone.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="Newest entries.")
@as_json
def audit(account: str | None, limit: int, as_json: bool) -> None:
    """Show who changed keys, credits, accounts and templates."""
    from renderfarm.audit import entries

    with transaction() as session:
        account_id = account_named(session, account).id if account else None
        found = entries(session, account_id, limit=limit)
        rows = [{column: getattr(entry, column) for column in _ENTRY} for entry in found]
    emit(rows, as_json, lambda: table(_ENTRY, rows))
