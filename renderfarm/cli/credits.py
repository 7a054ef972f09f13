"""``farm credits``: what accounts may spend, and where it went."""

from __future__ import annotations

import click

from renderfarm.cli.common import account_named, actor, as_json, emit, table, transaction

_ENTRY = ("created_at", "kind", "available_delta", "held_delta", "job_id", "note")


@click.group()
def credits() -> None:
    """Grant credits and show the ledger."""


@credits.command()
@click.argument("name")
@click.argument("amount", type=click.IntRange(min=1))
@click.option("--note", default="", help="Why; kept in the ledger.")
@as_json
def grant(name: str, amount: int, note: str, as_json: bool) -> None:
    """Give the account NAME credits."""
    from renderfarm.credits import grant as give

    with transaction() as session:
        account = account_named(session, name)
        give(session, account.id, amount, note, actor=actor())
        session.refresh(account)
        row = {"account": name, "available": account.available, "held": account.held}
    emit(row, as_json, lambda: click.echo(f"{name} now has {row['available']} credits."))


@credits.command()
@click.argument("name")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Newest entries.")
@as_json
def show(name: str, limit: int, as_json: bool) -> None:
    """Show what the account NAME has, holds and spent."""
    from renderfarm.credits import entries

    with transaction() as session:
        account = account_named(session, name)
        found = entries(session, account.id, limit=limit)
        rows = [{column: getattr(entry, column) for column in _ENTRY} for entry in found]
        row = {"account": name, "available": account.available, "held": account.held, "entries": rows}

    def print_it() -> None:
        click.echo(f"{name}: {row['available']} available, {row['held']} held")
        table(_ENTRY, rows)

    emit(row, as_json, print_it)
