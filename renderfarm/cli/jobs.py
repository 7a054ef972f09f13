"""``farm jobs`` and ``farm job``: what was sent, and how far it is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from renderfarm.cli.common import as_json, client, emit, rows_at_hand, shown, table, transaction
from renderfarm.client import ENDED, Job

_COLUMNS = ("job_id", "status", "progress_pct", "model", "mode", "credits", "created_at", "error_code")
_WORK = ("unit", "attempt", "outcome", "done", "worker", "started_at", "seconds", "error")
_LEDGER = ("created_at", "kind", "available_delta", "held_delta")
_id = click.argument("job_id", metavar="ID")
_request = click.option("--request", "request_id", help="Those a request brought, of all accounts: its id.")


@click.group(invoke_without_command=True)
@click.option("--status", type=click.Choice(["queued", "processing", *ENDED]), help="Only these.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@_request
@as_json
@click.pass_context
def jobs(ctx: click.Context, status: str | None, limit: int, request_id: str | None, as_json: bool) -> None:
    """List, show, cancel and await the jobs of the key's account; alone it lists them."""
    if ctx.invoked_subcommand is None and request_id:
        _of_request(request_id, limit, as_json)
    elif ctx.invoked_subcommand is None:
        _list(status, limit, as_json)


@jobs.command("list")
@click.option("--status", type=click.Choice(["queued", "processing", *ENDED]), help="Only these.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@as_json
def list_(status: str | None, limit: int, as_json: bool) -> None:
    """List the jobs, newest first."""
    _list(status, limit, as_json)


@jobs.command("show")
@_id
@as_json
def show_(job_id: str, as_json: bool) -> None:
    """Show the job ID."""
    with client() as api:
        _emit(api.job(job_id), as_json)


@jobs.command("cancel")
@_id
@as_json
def cancel_(job_id: str, as_json: bool) -> None:
    """End the job ID, and give its credits back."""
    with client() as api:
        _emit(api.cancel(job_id), as_json)


@jobs.command()
@_id
@click.option("--every", default=1.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Seconds.")
@as_json
def wait(job_id: str, every: float, as_json: bool) -> None:
    """Return once the job ID is complete; with 1 where it ends otherwise."""
    with client() as api:
        _emit(api.wait(job_id, every), as_json)


@jobs.command("delete-files")
@_id
@as_json
def delete_files(job_id: str, as_json: bool) -> None:
    """Delete the files of the job ID, which has ended: what it was made of, and what it has made."""
    with client() as api:
        api.delete_files(job_id)
        _emit(api.job(job_id), as_json)


def _list(status: str | None, limit: int, as_json: bool) -> None:
    with client() as api:
        rows = api.jobs(status or "", limit)
    emit(rows, as_json, lambda: table(_COLUMNS, rows))


def _of_request(request_id: str, limit: int, as_json: bool) -> None:
    from renderfarm.history import jobs_of

    with transaction() as session:
        rows = jobs_of(session, request_id, limit)
    emit(
        rows, as_json, lambda: table(("job_id", "status", "model", "mode", "created_at", "error_code"), rows)
    )


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--cancel", is_flag=True, help="End it, and give its credits back.")
@as_json
def job(job_id: str, cancel: bool, as_json: bool) -> None:
    """Show one job, or end it; where the farm's rows are at hand also what they say of it.

    That is each attempt at each of its units, what the ledger says, and the id of the request that brought
    it: by that the logs of all processes are searched.
    """
    with client() as api:
        found = api.cancel(job_id) if cancel else api.job(job_id)
    if not rows_at_hand():
        _emit(found, as_json)
        return
    from renderfarm.history import history_of

    with transaction() as session:
        history = history_of(session, job_id)
    if history is None:  # the API and the rows are not of one farm
        _emit(found, as_json)
    elif as_json:
        emit({**found, "history": asdict(history)}, as_json, lambda: None)
    else:
        _emit(found, as_json)
        click.echo(f"{'account':>18}  {history.account} ({history.account_id})")
        click.echo(f"{'request':>18}  {history.request_id or 'none'}")
        if history.traceparent:
            click.echo(f"{'trace':>18}  {history.traceparent.split('-')[1]}")
        table(_WORK, history.work)
        table(_LEDGER, history.ledger)


def _emit(found: Job, as_json: bool) -> None:
    def show() -> None:
        for name, value in found.items():
            if text := _words(name, value):
                click.echo(f"{name:>18}  {shown(text)}")

    emit(found, as_json, show)


def _words(name: str, value: Any) -> str:
    if name in ("error", "result_url", "progress_pct"):  # each is there under another name, too
        return ""
    if name == "progress":
        return f"{value['pct']}%  {value['stage']} {value['done']}/{value['total']}"
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
