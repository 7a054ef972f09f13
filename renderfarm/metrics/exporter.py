"""The exporter: what the rows and the servers say about the farm, read anew at each scrape.

One process (``farm exporter``) shows it for the whole farm. What takes longer than a scrape may (every row
of the ledger, all jobs at the start) is read beside it, seldom enough to cost the database next to nothing.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from renderfarm.db import Database
from renderfarm.metrics import jobs, money, queues, servers, webhooks
from renderfarm.metrics.page import show
from renderfarm.settings import Settings, SettingsError

log = logging.getLogger(__name__)

# One snapshot for all series, so that they agree with each other; and a bound on what a statement may cost
# the database: for a scrape, and for what is read beside it.
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SCRAPE, _SLOW = "5s", "15min"

#: A look at everything takes at most this share of the database's time, and comes at most so often.
_SHARE = 1 / 30
_SELDOM = 1.0
#: How long after one that failed the next is tried, in seconds.
_AGAIN = 5.0


class FarmCollector(Collector):
    """Reads the database at each scrape, and by ``look`` what takes longer.

    A database that is away gives ``renderfarm_exporter_up 0`` and no other series of the rows: stale numbers
    would look like a healthy farm. Until the first look has been taken, what depends on it is not there.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._jobs, self._moved = jobs.tally(), money.tally()
        self._audit: money.Audit | None = None
        self._ratchet = Ratchet()
        self._scraping = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not reach for the database."""
        return ()

    def look(self) -> None:
        """Read what only all rows together tell. Raises ``SQLAlchemyError`` where that cannot be."""
        for tally in (self._jobs, self._moved):
            if tally.is_due:
                with self._database.begin() as session:
                    _begin(session, _SLOW)
                    tally.count(session)
        with self._database.begin() as session:
            _begin(session, _SLOW)
            self._audit = money.Audit.of(session)

    def collect(self) -> Iterator[Metric]:
        try:
            # One at a time: whoever looked before another and counts after it would take its own snapshot for
            # a clock that went back.
            with self._scraping, self._database.begin() as session:
                _begin(session, _SCRAPE)
                families = list(self._families(session))
        except SQLAlchemyError as error:
            log.warning("the database did not answer the scrape: %s", str(error).splitlines()[0])
            families = []
        yield GaugeMetricFamily(
            "renderfarm_exporter_up",
            "1 if the database answered this scrape.",
            value=1.0 if families else 0.0,
        )
        yield from families

    def _families(self, session: Session) -> Iterator[Metric]:
        yield from queues.families(session, self._settings)
        yield from webhooks.families(session)
        yield from servers.connections(session)
        yield from money.balances(session)
        if (sums := self._jobs.sums(session)) is not None:
            yield jobs.counted(sums)
            yield from map(self._ratchet, jobs.histograms(sums))
        if (sums := self._moved.sums(session)) is not None:
            yield self._ratchet(money.moved(sums))
        if self._audit is not None:
            yield from self._audit.families(session)


class Ratchet:
    """Keeps counters from falling for as long as the process lives, whatever clocks and rows do.

    Of one that falls Prometheus believes that it began anew, and adds all of it once more.
    """

    def __init__(self) -> None:
        self._most: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}

    def __call__(self, family: Metric) -> Metric:
        """The family, with each sample at the most that it has ever been."""
        family.samples = [sample._replace(value=self._held(sample)) for sample in family.samples]
        return family

    def _held(self, sample: Sample) -> float:
        key = sample.name, frozenset(sample.labels.items())
        self._most[key] = max(sample.value, self._most.get(key, sample.value))
        return self._most[key]


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
    database = Database(settings.database_url, pool_size=2)
    registry = CollectorRegistry()
    farm = FarmCollector(settings, database)
    registry.register(farm)
    if settings.redis_url:
        registry.register(servers.Broker(settings.redis_url))
    try:
        with show(settings, "exporter", registry):
            _look_until(stop, farm)
    finally:
        database.close()


def _look_until(stop: threading.Event, farm: FarmCollector) -> None:
    while not stop.is_set():
        began = time.monotonic()
        try:
            farm.look()
            pause = max(_SELDOM, (time.monotonic() - began) / _SHARE)
        except SQLAlchemyError as error:
            log.warning("not all rows could be read: %s", str(error).splitlines()[0])
            pause = _AGAIN
        stop.wait(pause)


def _begin(session: Session, patience: str) -> None:
    session.execute(text(_SNAPSHOT))
    session.execute(text(f"SET LOCAL statement_timeout = '{patience}'"))
