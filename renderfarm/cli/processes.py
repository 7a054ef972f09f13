"""``farm migrate``, ``dispatcher``, ``courier``, ``exporter``: the farm's own processes, one at a time."""

from __future__ import annotations

import signal
import threading

import click

from renderfarm.cli.common import settings
from renderfarm.settings import Settings, SettingsError


@click.command()
def migrate() -> None:
    """Bring the database to the newest tables."""
    from renderfarm.migrate import migrate as run

    ours = run(settings().database_url)
    click.echo("the database is up to date" if ours else "the database is of a newer release: left as it is")


@click.command()
def dispatcher() -> None:
    """Admit and publish work, and sweep up after lost workers, until SIGTERM."""
    from renderfarm.db import Database
    from renderfarm.dispatch import Dispatcher
    from renderfarm.messages import celery_publisher
    from renderfarm.metrics.page import show
    from renderfarm.storage import open_storage

    ours = _for_a_process("dispatcher")
    if not ours.redis_url:
        raise SettingsError("REDIS_URL is not set; `farm up` sets it, or give your own")
    database = Database(ours.database_url)
    try:
        running = Dispatcher(ours, database, celery_publisher(ours), open_storage(ours))
        with show(ours, "dispatcher", alive=running.alive):
            running.run(_stop())
    finally:
        database.close()


@click.command()
def courier() -> None:
    """Send the webhooks that are due, until SIGTERM."""
    from renderfarm.courier import Courier
    from renderfarm.db import Database
    from renderfarm.fetch import Guarded
    from renderfarm.metrics.page import show
    from renderfarm.storage import open_storage

    ours = _for_a_process("courier")
    database = Database(ours.database_url)
    try:
        with show(ours, "courier"):
            Courier(ours, database, open_storage(ours), Guarded(ours)).run(_stop())
    finally:
        database.close()


@click.command()
def exporter() -> None:
    """Show the metrics of the queues, the jobs and the ledger on FARM_METRICS_PORT, until SIGTERM."""
    from renderfarm.metrics.exporter import run_exporter

    run_exporter(_for_a_process("exporter"))


def _stop() -> threading.Event:
    """Set by whoever tells the process to go."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _for_a_process(name: str) -> Settings:
    from renderfarm import logs, tracing

    ours = settings()
    logs.configure(ours, name)
    tracing.start(ours, name)
    return ours
