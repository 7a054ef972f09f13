"""What the rows say about the farm, for Prometheus: the queue, the workers and the money.

One process exports it (``farm exporter``), since every replica would read the same rows. What
happens inside a process (attempts of units, seconds of requests) is exported by that process.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from renderfarm import credits, stages
from renderfarm.db import Database
from renderfarm.settings import Settings, SettingsError

log = logging.getLogger(__name__)

#: Queues that every farm has. They are shown at 0 too: an alert cannot see a series that is not there.
QUEUES = stages.ALL

# One snapshot for all series, so that they agree with each other; and a bound on what a scrape may
# cost the database, below the scrape's own timeout.
_SNAPSHOT = (
    text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"),
    text("SET LOCAL statement_timeout = '5s'"),
)

_JOBS = text("SELECT model, mode, status, count(*) FROM jobs GROUP BY model, mode, status")

# A unit waits since it was made, since its backoff ended, or since its last attempt last moved.
_QUEUES = text(
    """
    SELECT queue,
           count(*) FILTER (WHERE status <> 'running') AS depth,
           coalesce(extract(epoch FROM now() - min(greatest(created_at, not_before, progressed_at))
               FILTER (WHERE status <> 'running')), 0) AS age,
           count(*) FILTER (WHERE status = 'running') AS running,
           count(*) FILTER (WHERE status = 'running' AND lease_until < now()) AS expired
    FROM units WHERE status IN ('waiting', 'admitted', 'running') GROUP BY queue
    """
)

# A worker's row outlives it until the sweeper comes by; one that missed a whole lease is not there.
_WORKERS = text(
    "SELECT queue, count(*) FROM workers WHERE seen_at > now() - :lease * interval '1 second' GROUP BY queue"
)

_OLDEST_HOLD = text(
    "SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)"
    " FROM jobs WHERE status IN ('queued', 'processing')"
)

# What a courier has in hand is not due: its next attempt is the end of its lease.
_WEBHOOKS = text(
    """
    SELECT count(*) AS pending,
           greatest(0, coalesce(extract(epoch FROM now() - min(next_attempt_at)), 0)) AS late
    FROM webhook_deliveries WHERE next_attempt_at IS NOT NULL
    """
)


class FarmCollector(Collector):
    """Reads the database anew at each scrape.

    A database that is away gives ``renderfarm_exporter_up 0`` and no other series: stale numbers
    would look like a healthy farm.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: registering must not reach for the database."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            with self._database.begin() as session:
                for statement in _SNAPSHOT:
                    session.execute(statement)
                families = list(_families(session, self._settings.lease_seconds))
        except SQLAlchemyError as error:
            log.warning("the database did not answer the scrape: %s", str(error).splitlines()[0])
            families = []
        yield GaugeMetricFamily(
            "renderfarm_exporter_up",
            "1 if the database answered this scrape.",
            value=1.0 if families else 0.0,
        )
        yield from families


def _families(session: Session, lease: float) -> Iterator[GaugeMetricFamily]:
    jobs = GaugeMetricFamily(
        "renderfarm_jobs", "Jobs by model, mode and status.", labels=["model", "mode", "status"]
    )
    for model, mode, status, count in session.execute(_JOBS):
        jobs.add_metric([model, mode, status], count)
    yield jobs

    queues = {row.queue: row for row in session.execute(_QUEUES)}
    for name, help_text, column in (
        ("renderfarm_queue_depth", "Units that wait for a worker.", "depth"),
        ("renderfarm_queue_oldest_age_seconds", "How long the longest waiting unit has waited.", "age"),
        ("renderfarm_units_running", "Units that a worker holds.", "running"),
        (
            "renderfarm_leases_expired",
            "Running units whose lease ran out and is not yet taken back.",
            "expired",
        ),
    ):
        # A backoff that ends in the future is a wait of nothing, not a negative one.
        values = {queue: max(0.0, float(getattr(row, column))) for queue, row in queues.items()}
        yield _by_queue(name, help_text, values)

    workers = {queue: float(count) for queue, count in session.execute(_WORKERS, {"lease": lease})}
    yield _by_queue("renderfarm_workers", "Workers that reported within the last lease.", workers)

    webhooks = session.execute(_WEBHOOKS).one()
    yield GaugeMetricFamily(
        "renderfarm_webhooks_pending",
        "Webhooks that are not delivered and not given up.",
        value=float(webhooks.pending),
    )
    yield GaugeMetricFamily(
        "renderfarm_webhook_oldest_due_age_seconds",
        "How long the longest waiting webhook has been due.",
        value=float(webhooks.late),
    )

    yield GaugeMetricFamily(
        "renderfarm_oldest_hold_age_seconds",
        "How long ago the oldest job that still holds credits was sent.",
        value=float(session.execute(_OLDEST_HOLD).scalar_one()),
    )
    yield GaugeMetricFamily(
        "renderfarm_ledger_mismatch",
        "Accounts whose balance is not the sum of their ledger; must be 0.",
        value=float(credits.mismatches(session)),
    )


def _by_queue(name: str, help_text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=["queue"])
    for queue in dict.fromkeys((*QUEUES, *values)):
        family.add_metric([queue], values.get(queue, 0.0))
    return family


def run_exporter(settings: Settings) -> None:
    """Serve ``/metrics`` on ``settings.metrics_port`` until SIGTERM or SIGINT.

    Starts without a database too. Raises ``SettingsError`` without a port.
    """
    if not settings.metrics_port:
        raise SettingsError("FARM_METRICS_PORT is not set; the exporter needs a port")
    stop = threading.Event()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    database = Database(settings.database_url, pool_size=1)
    registry = CollectorRegistry()
    registry.register(FarmCollector(settings, database))
    try:
        with show(settings, registry):
            stop.wait()
    finally:
        database.close()


@contextmanager
def show(settings: Settings, registry: CollectorRegistry = REGISTRY) -> Iterator[None]:
    """Serve ``/metrics`` for the length of the block; not at all without a port."""
    if not settings.metrics_port:
        yield
        return
    server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    log.info("metrics on http://%s:%d/metrics", settings.metrics_host, settings.metrics_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
