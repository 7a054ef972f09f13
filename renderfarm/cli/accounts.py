"""``farm accounts``: who pays."""

from __future__ import annotations

import click

from renderfarm.cli.common import actor, as_json, emit, table, transaction
from renderfarm.local.errors import StackError


@click.group()
def accounts() -> None:
    """Make and list accounts."""


@accounts.command()
@click.argument("name")
@as_json
def create(name: str, as_json: bool) -> None:
    """Make an account."""
    from renderfarm.accounts import create_account

    with transaction() as session:
        try:
            account = create_account(session, name, actor=actor())
        except ValueError as error:
            raise StackError(f"{error}.".capitalize(), "Choose another name.") from error
        row = {"id": account.id, "name": account.name}
    emit(row, as_json, lambda: click.echo(f"Made the account {row['name']}."))


@accounts.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List the accounts and their credits."""
    from sqlalchemy import select

    from renderfarm.models import Account

    columns = ("id", "name", "available", "held", "created_at")
    with transaction() as session:
        found = session.scalars(select(Account).order_by(Account.created_at, Account.id))
        rows = [{column: getattr(account, column) for column in columns} for account in found]
    emit(rows, as_json, lambda: table(columns, rows))
