"""``farm accounts``: who pays."""

from __future__ import annotations

import click

from renderfarm.cli.common import actor, as_json, emit, reached, table, transaction
from renderfarm.local.errors import StackError


@click.group()
def accounts() -> None:
    """Make, list and delete accounts."""


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


@accounts.command("delete")
@click.argument("name")
@click.option("--cancel", is_flag=True, help="Cancel its open jobs first.")
@as_json
def delete_(name: str, cancel: bool, as_json: bool) -> None:
    """Delete an account for good: its keys, its assets, its jobs' files. The ledger stays."""
    from dataclasses import asdict

    from renderfarm.removal import StillOpen, remove

    with reached() as (ours, database):
        try:
            gone = remove(database, ours, name, cancel=cancel, actor=actor())
        except StillOpen as error:
            raise StackError(f"{error}.", "Wait for them, or give --cancel.") from error
    if gone is None:
        raise StackError(f"There is no account {name!r}.", "See `farm accounts list`.")

    def show() -> None:
        click.echo(
            f"Deleted the account {name}: {gone.keys} keys, {gone.assets} characters and scenes, "
            f"the files of {gone.renders} renders; {gone.cancelled} jobs were cancelled."
        )

    emit(asdict(gone), as_json, show)


@accounts.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List the accounts and their credits."""
    from sqlalchemy import select

    from renderfarm.models import Account

    columns = ("id", "name", "available", "held", "created_at", "deleted_at")
    with transaction() as session:
        found = session.scalars(select(Account).order_by(Account.created_at, Account.id))
        rows = [{column: getattr(account, column) for column in columns} for account in found]
    emit(rows, as_json, lambda: table(columns, rows))
