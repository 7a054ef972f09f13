"""``farm webhooks``: who is told what becomes of jobs, and what was sent."""

from __future__ import annotations

from typing import Any

import click

from renderfarm.cli.common import account_named, actor, as_json, emit, settings, table, transaction
from renderfarm.errors import FarmError

_account = click.option("--account", required=True, metavar="NAME", help="Whose.")
_ENDPOINT = ("id", "url", "created_at", "disabled_at", "previous_until")
_DELIVERY = (
    *("id", "job_id", "type", "url", "created_at", "attempt", "last_status", "last_error"),
    *("next_attempt_at", "delivered_at", "given_up_at"),
)
_ATTEMPT = ("attempt", "at", "status", "milliseconds", "error")


@click.group()
def webhooks() -> None:
    """Tell receivers what becomes of an account's jobs, and see what was sent."""


@webhooks.command()
@click.argument("url")
@_account
@as_json
def add(url: str, account: str, as_json: bool) -> None:
    """Tell the address URL of every job of the account from now on, and show the secret that signs it.

    One that was disabled, since it answered 410, is told again.
    """
    from renderfarm import endpoints, fetch

    fetch.check_address(settings(), url)
    with transaction() as session:
        made = endpoints.add(session, account_named(session, account).id, url, actor=actor())
        row = _fields(made, _ENDPOINT) | {"secret": made.secret}
    _show_secret(row, as_json)


@webhooks.command("list")
@_account
@as_json
def list_(account: str, as_json: bool) -> None:
    """List the account's endpoints; the one without an address signs for those that jobs bring along."""
    from renderfarm import endpoints

    with transaction() as session:
        found = endpoints.all_of(session, account_named(session, account).id)
        rows = [_fields(one, _ENDPOINT) for one in found]
    emit(rows, as_json, lambda: table(_ENDPOINT, rows))


@webhooks.command()
@click.argument("endpoint_id", metavar="ID")
@as_json
def remove(endpoint_id: str, as_json: bool) -> None:
    """Tell the endpoint nothing more; what is on its way there is dropped."""
    from renderfarm import endpoints

    with transaction() as session:
        if not endpoints.remove(session, endpoint_id, actor=actor()):
            raise FarmError("CS-UORC01-121")
    emit({"id": endpoint_id, "removed": True}, as_json, lambda: click.echo(f"Removed {endpoint_id}."))


@webhooks.command()
@click.argument("account", metavar="ACCOUNT")
@as_json
def secret(account: str, as_json: bool) -> None:
    """Show the secret that signs for the `webhook_url` of the account's jobs; made when first needed."""
    from renderfarm import endpoints

    with transaction() as session:
        own = endpoints.own(session, account_named(session, account).id)
        row = _fields(own, _ENDPOINT) | {"secret": own.secret}
    _show_secret(row, as_json)


@webhooks.command()
@click.argument("endpoint_id", metavar="ID")
@as_json
def rotate(endpoint_id: str, as_json: bool) -> None:
    """Give the endpoint a new secret, and show it; the old one signs beside it for a day."""
    from renderfarm import endpoints

    with transaction() as session:
        changed = endpoints.rotate(session, settings(), endpoint_id, actor=actor())
        if changed is None:
            raise FarmError("CS-UORC01-121")
        row = _fields(changed, _ENDPOINT) | {"secret": changed.secret}
    _show_secret(row, as_json)


@webhooks.command()
@click.argument("delivery_id", metavar="[ID]", required=False)
@click.option("--account", metavar="NAME", help="Only this account's.")
@click.option("--job", "job_id", metavar="ID", help="Only this job's.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@as_json
def deliveries(
    delivery_id: str | None, account: str | None, job_id: str | None, limit: int, as_json: bool
) -> None:
    """List what was sent, newest first; with an ID, each attempt at that one."""
    from renderfarm import webhooks as log

    columns = _ATTEMPT if delivery_id else _DELIVERY
    with transaction() as session:
        found: list[Any]
        if delivery_id:
            found = list(log.attempts(session, delivery_id))
        else:
            whose = account_named(session, account).id if account else None
            found = list(log.deliveries(session, whose, job_id, limit))
        rows = [_fields(one, columns) for one in found]
    emit(rows, as_json, lambda: table(columns, rows))


@webhooks.command()
@click.argument("delivery_id", metavar="[ID]", required=False)
@click.option("--job", "job_id", metavar="ID", help="All of this job's.")
@as_json
def resend(delivery_id: str | None, job_id: str | None, as_json: bool) -> None:
    """Send a delivery again, under the same id and with all its attempts before it."""
    from renderfarm import webhooks as log

    if (delivery_id is None) == (job_id is None):
        raise click.UsageError("Give either the ID of a delivery, or --job.")
    with transaction() as session:
        sent = log.resend(session, delivery_id, job_id, actor=actor())
        if not sent:
            raise FarmError("CS-UORC01-121")
    emit({"resent": sent}, as_json, lambda: click.echo("\n".join(sent)))


@webhooks.command()
@click.argument("port", type=click.IntRange(0, 65535))
@click.option("--secret", required=True, help="What signs: see `farm webhooks secret`.")
@as_json
def listen(port: int, secret: str, as_json: bool) -> None:
    """Receive webhooks on PORT of this machine, verify and print them, until Ctrl-C.

    A farm sends to this machine only with FARM_DEVELOPMENT=1, FARM_FETCH_PRIVATE=1, and PORT among
    FARM_FETCH_PORTS.
    """
    from renderfarm.receiver import Received, Receiver

    def show(received: Received) -> None:
        line = f"{received.id}  {received.type}  {received.data.get('job_id')}  {received.data.get('status')}"
        emit(received.whole, as_json, lambda: click.echo(line))

    with Receiver([secret], show, port=port) as receiver:
        click.echo(f"listening on {receiver.url}", err=True)
        receiver.wait()


def _fields(row: object, columns: tuple[str, ...]) -> dict[str, Any]:
    return {column: getattr(row, column) for column in columns}


def _show_secret(row: dict[str, Any], as_json: bool) -> None:
    def show() -> None:
        click.echo(row["secret"])
        click.echo(f"This signs what is sent by {row['id']}.", err=True)

    emit(row, as_json, show)
