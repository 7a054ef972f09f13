"""``farm jobs`` and ``farm job``: what was sent, and how far it is."""

from __future__ import annotations

from typing import Any

import click

from renderfarm.cli.common import as_json, client, emit, table
from renderfarm.client import ENDED

_COLUMNS = ("job_id", "status", "progress_pct", "model", "mode", "credits", "created_at", "error_code")


@click.command()
@click.option("--status", type=click.Choice(["queued", "processing", *ENDED]), help="Only these.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@as_json
def jobs(status: str | None, limit: int, as_json: bool) -> None:
    """List the jobs of the key's account, newest first."""
    with client() as api:
        rows = api.jobs(status or "", limit)
    emit(rows, as_json, lambda: table(_COLUMNS, rows))


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--cancel", is_flag=True, help="End it, and give its credits back.")
@as_json
def job(job_id: str, cancel: bool, as_json: bool) -> None:
    """Show one job, or end it."""
    with client() as api:
        found = api.cancel(job_id) if cancel else api.job(job_id)

    def show() -> None:
        for name, value in found.items():
            if text := _words(name, value):
                click.echo(f"{name:>18}  {text}")

    emit(found, as_json, show)


def _words(name: str, value: Any) -> str:
    if name in ("error", "result_url", "progress_pct"):  # each is there under another name, too
        return ""
    if name == "progress":
        return f"{value['pct']}%  {value['stage']} {value['done']}/{value['total']}"
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
