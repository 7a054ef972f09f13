"""``farm keys``: what opens the API."""

from __future__ import annotations

import click

from renderfarm.cli.common import account_named, as_json, emit, table, transaction
from renderfarm.local.errors import StackError

_account = click.option("--account", required=True, metavar="NAME", help="Whose.")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@_account
@as_json
def create(account: str, as_json: bool) -> None:
    """Make a key and show it, once."""
    from renderfarm.accounts import create_key

    with transaction() as session:
        key, secret = create_key(session, account_named(session, account).id)
        row = {"id": key.id, "account": account, "key": secret}

    def show() -> None:
        click.echo(secret)
        click.echo(f"This is {row['id']}; it cannot be shown again.", err=True)

    emit(row, as_json, show)


@keys.command("list")
@_account
@as_json
def list_(account: str, as_json: bool) -> None:
    """List an account's keys by their first characters."""
    from renderfarm.accounts import list_keys

    columns = ("id", "prefix", "created_at", "revoked_at")
    with transaction() as session:
        found = list_keys(session, account_named(session, account).id)
        rows = [{column: getattr(key, column) for column in columns} for key in found]
    emit(rows, as_json, lambda: table(columns, rows))


@keys.command()
@click.argument("key_id", metavar="ID")
@as_json
def revoke(key_id: str, as_json: bool) -> None:
    """End a key for good."""
    from renderfarm.accounts import revoke_key

    with transaction() as session:
        if not revoke_key(session, key_id):
            raise StackError(f"No key {key_id!r} is in use.", "See `farm keys list --account NAME`.")
    emit({"id": key_id, "revoked": True}, as_json, lambda: click.echo(f"Revoked {key_id}."))
