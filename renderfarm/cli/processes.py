"""``farm migrate``, ``dispatcher``, ``courier``, ``exporter``: the farm's own processes, one at a time."""

from __future__ import annotations

import logging
import signal
import threading

import click

from renderfarm import redact
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
    from renderfarm.dispatch import Dispatcher, celery_publisher
    from renderfarm.storage import open_storage

    ours = _for_a_process()
    if not ours.redis_url:
        raise SettingsError("REDIS_URL is not set; `farm up` sets it, or give your own")
    database = Database(ours.database_url)
    try:
        Dispatcher(ours, database, celery_publisher(ours), open_storage(ours)).run(_stop())
    finally:
        database.close()


@click.command()
def courier() -> None:
    """Send the webhooks that are due, until SIGTERM."""
    from renderfarm.courier import Courier
    from renderfarm.db import Database
    from renderfarm.fetch import Guarded
    from renderfarm.metrics import show
    from renderfarm.storage import open_storage

    ours = _for_a_process()
    database = Database(ours.database_url)
    try:
        with show(ours):
            Courier(ours, database, open_storage(ours), Guarded(ours)).run(_stop())
    finally:
        database.close()


@click.command()
def exporter() -> None:
    """Show the metrics of the queue and the ledger on FARM_METRICS_PORT, until SIGTERM."""
    from renderfarm.metrics import run_exporter

    run_exporter(_for_a_process())


def _stop() -> threading.Event:
    """Set by whoever tells the process to go."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _for_a_process() -> Settings:
    ours = settings()
    logging.basicConfig(level=ours.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    redact.install(ours)
    return ours
