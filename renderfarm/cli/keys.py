"""``farm keys``: what opens the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from renderfarm.cli.common import LASTS, account_named, actor, as_json, emit, table, transaction
from renderfarm.local.errors import StackError

#: The names of ``accounts.Scope``, which costs a database driver to import.
_SCOPES = ("read", "render", "admin")
_MAY = "What it may do, more than once for more: read; render, which includes read; admin. Default: render."
_account = click.option("--account", required=True, metavar="NAME", help="Whose.")


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys."""


@keys.command()
@click.argument("name", required=False, metavar="ACCOUNT")
@click.option("--account", metavar="NAME", help="The same as ACCOUNT.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), help=_MAY)
@click.option("--expires", type=LASTS, help="For how long it works, such as 30d or 12h; for good without it.")
@as_json
def create(
    name: str | None, account: str | None, scopes: tuple[str, ...], expires: timedelta | None, as_json: bool
) -> None:
    """Make a key of ACCOUNT and show it, once."""
    from renderfarm.accounts import USUAL, Scope, create_key

    if not (owner := name or account):
        raise click.UsageError("Name the account.")
    with transaction() as session:
        account_id = account_named(session, owner).id
        granted = [Scope(scope) for scope in scopes] or USUAL
        key, secret = create_key(session, account_id, granted, expires, actor=actor())
        row = {"id": key.id, "account": owner, "scopes": key.scopes, "expires_at": key.expires_at}
    _show_once(row, secret, as_json)


@keys.command()
@click.argument("key_id", metavar="ID")
@click.option("--grace", type=LASTS, default="0s", help="For how long the old key still works.")
@as_json
def rotate(key_id: str, grace: timedelta, as_json: bool) -> None:
    """Make a key that may do what the key ID may, and end that one."""
    from renderfarm.accounts import rotate_key

    with transaction() as session:
        rotated = rotate_key(session, key_id, grace, actor=actor())
        if rotated is None:
            raise StackError(f"No key {key_id!r} is in use.", "See `farm keys list --account NAME`.")
        key, secret = rotated
        row = {"id": key.id, "instead_of": key_id, "scopes": key.scopes, "expires_at": key.expires_at}
    _show_once(row, secret, as_json)


def _show_once(row: dict[str, Any], secret: str, as_json: bool) -> None:
    def show() -> None:
        click.echo(secret)
        click.echo(f"This is {row['id']}; it cannot be shown again.", err=True)

    emit(row | {"key": secret}, as_json, show)


@keys.command("list")
@_account
@as_json
def list_(account: str, as_json: bool) -> None:
    """List an account's keys by their first characters."""
    from renderfarm.accounts import list_keys

    columns = ("id", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
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
        if not revoke_key(session, key_id, actor=actor()):
            raise StackError(f"No key {key_id!r} is in use.", "See `farm keys list --account NAME`.")
    emit({"id": key_id, "revoked": True}, as_json, lambda: click.echo(f"Revoked {key_id}."))
