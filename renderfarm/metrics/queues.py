"""Queues and their pools by their rows: what waits, who is there, and whether they could meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import text
from sqlalchemy.orm import Session

from renderfarm import line, stages
from renderfarm.pools import Pool, live_pools
from renderfarm.settings import Settings

# A unit waits since it was made, since its backoff ended, or since its last attempt last moved.
_UNITS = text(
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


def families(session: Session, settings: Settings) -> Iterator[Metric]:
    """The units of each queue, and the workers of its pool."""
    queues = {row.queue: row for row in session.execute(_UNITS)}
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
    yield from _pools(session, settings)


def _pools(session: Session, settings: Settings) -> Iterator[Metric]:
    pools = live_pools(session, settings)
    busy = {queue: float(pool.live - pool.idle) for queue, pool in pools.items()}
    live = {queue: float(pool.live) for queue, pool in pools.items()}
    yield _by_queue("renderfarm_workers", "Workers that reported within the last lease.", live)
    yield _by_queue("renderfarm_workers_busy", "Those of them that hold a unit.", busy)
    yield _by_queue(
        "renderfarm_queue_startable",
        "Units that idle workers could take now: neither versions, caps nor backoff stand in the way.",
        _startable(session, settings, pools),
    )
    ratio = GaugeMetricFamily(
        "renderfarm_gpu_busy_ratio",
        "The share of a GPU pool's live workers that hold a unit; over time, the share of time in which one"
        " draws. Not there where the pool has no worker.",
        labels=["queue"],
    )
    for queue in stages.QUEUES.values():
        if pool := live.get(queue):
            ratio.add_metric([queue], busy[queue] / pool)
    yield ratio


def _startable(session: Session, settings: Settings, pools: Mapping[str, Pool]) -> dict[str, float]:
    """By queue, what the dispatcher would admit if it came by now, and what it admitted and nobody took."""
    busy, standing = line.busy_of(session, pools), line.standing(session)
    found = {}
    for queue, pool in pools.items():
        if not pool.idle:
            continue
        lines = standing.get(queue, set())
        turns = line.next_turns(session, settings, queue, lines, pool, busy, pool.idle)
        found[queue] = float(min(pool.idle, busy.unclaimed.get(queue, 0) + len(turns.units)))
    return found


def _by_queue(name: str, help_text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=["queue"])
    # Each queue that every farm has, at 0 too: an alert cannot see a series that is not there.
    for queue in dict.fromkeys((*stages.ALL, *values)):
        family.add_metric([queue], values.get(queue, 0.0))
    return family
