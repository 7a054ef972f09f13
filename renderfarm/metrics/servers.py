"""What the farm stands on: PostgreSQL's connections, and Redis with what it holds."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import redis
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.orm import Session

from renderfarm import stages

log = logging.getLogger(__name__)

#: How long Redis may take to be reached, and to answer.
_PATIENCE = 2.0

# Of all databases of the server, since they share the limit; some are kept for its owner.
_CONNECTIONS = text(
    """
    SELECT coalesce(sum(numbackends), 0) AS used,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0) AS most
    FROM pg_stat_database
    """
)


def connections(session: Session) -> Iterator[Metric]:
    """How many connections PostgreSQL has, and may have."""
    row = session.execute(_CONNECTIONS).one()
    for name, help_text, value in (
        ("renderfarm_database_connections", "Connections that PostgreSQL has.", row.used),
        ("renderfarm_database_connections_max", "Connections that it takes from the farm.", row.most),
    ):
        yield GaugeMetricFamily(name, help_text, value=float(value))


class Broker(Collector):
    """Asks Redis anew at each scrape; one that is away shows ``renderfarm_redis_up 0`` and no more."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=None
        )

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not reach for Redis."""
        return ()

    def collect(self) -> Iterator[Metric]:
        try:
            info = self._redis.info()
            messages = {queue: float(self._redis.llen(queue)) for queue in stages.ALL}
        except redis.RedisError as error:
            log.warning("Redis did not answer the scrape: %s", error)
            yield _up(0.0)
            return
        yield _up(1.0)
        for name, help_text, value in (
            ("memory_used_bytes", "Memory that Redis uses for what it holds.", info["used_memory"]),
            ("memory_max_bytes", "Memory that it may use; 0: all there is.", info["maxmemory"]),
            ("aof_enabled", "1 if it writes down what it holds.", info["aof_enabled"]),
            (
                "aof_last_write_ok",
                "1 if its last write to the disk succeeded.",
                info["aof_last_write_status"] == "ok" and info["aof_last_bgrewrite_status"] == "ok",
            ),
        ):
            yield GaugeMetricFamily(f"renderfarm_redis_{name}", help_text, value=float(value))
        family = GaugeMetricFamily(
            "renderfarm_redis_messages", "Messages that no worker has taken yet.", labels=["queue"]
        )
        for queue, count in messages.items():
            family.add_metric([queue], count)
        yield family


def _up(value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily("renderfarm_redis_up", "1 if Redis answered this scrape.", value=value)
