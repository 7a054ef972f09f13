"""Jobs by their rows: how many there are, how long they waited, how long they took.

Who ends a job may be a worker, the API or a sweeper, and may die right after: only the rows know them all.
They are never removed (each one's settlement refers to it), so these numbers never fall.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate, product

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString
from sqlalchemy import ARRAY, Float, bindparam, text

from pipeline.spec import Model
from renderfarm.metrics.tally import Sums, Tally
from renderfarm.models import FINAL, JobStatus
from renderfarm.units import FAST

#: A job is to start within so many seconds: alerts rest on it (``deploy/prometheus/rules.yml``).
PROMISED_START = 300.0
_WAITS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, PROMISED_START, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0)
_LIVES = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 21_600.0, 43_200.0)

#: Every model and mode that there are jobs of, seen yet or not.
KINDS = tuple(product(Model, ("full_pipeline", "preprocessed", FAST)))

#: Of what ended before then every row is there: no transaction of the farm lasts as long.
_SETTLED = "now() - interval '10 minutes'"

# Open jobs, and those that ended beyond the mark, each by an index of its own. How long one has waited so
# far is known at any time; it goes to a bucket once it has started.
_STATEMENT = text(
    f"""
    WITH seen AS (
        SELECT false AS settled, model, mode, status, created_at, started_at, completed_at
        FROM jobs WHERE status = 'queued'
        UNION ALL
        SELECT false, model, mode, status, created_at, started_at, completed_at
        FROM jobs WHERE status = 'processing'
        UNION ALL
        SELECT completed_at <= {_SETTLED}, model, mode, status, created_at, started_at,
            completed_at
        FROM jobs WHERE completed_at > :mark
    ), timed AS (
        SELECT settled, model, mode, status, started_at IS NOT NULL AS started,
            greatest(0, extract(epoch FROM coalesce(started_at, completed_at, now()) - created_at))::float8
                AS wait,
            greatest(0, extract(epoch FROM completed_at - created_at))::float8 AS life
        FROM seen
    )
    SELECT {_SETTLED} AS mark, settled, model, mode, status,
        CASE WHEN started THEN width_bucket(wait, :waits) WHEN wait >= :promised THEN cardinality(:waits)
            END AS wait_bucket,
        CASE WHEN status IN ('complete', 'failed', 'cancelled') THEN width_bucket(life, :lives)
            END AS life_bucket,
        count(*), sum(wait), sum(life)
    FROM timed GROUP BY 2, 3, 4, 5, 6, 7
    """
).bindparams(bindparam("waits", type_=ARRAY(Float)), bindparam("lives", type_=ARRAY(Float)))


def tally() -> Tally:
    """Of all jobs, by model, mode, status and the buckets of their wait and their life."""
    return Tally(
        _STATEMENT,
        datetime(1970, 1, 1, tzinfo=UTC),
        3,
        waits=list(_WAITS),
        lives=list(_LIVES),
        promised=PROMISED_START,
    )


def counted(sums: Sums) -> Metric:
    """How many jobs there are, by the sums of ``tally``; of what kinds there are none, too."""
    jobs = {(model, mode, status): 0.0 for model, mode in KINDS for status in JobStatus}
    for (model, mode, status, *_), (count, *_) in sums.items():
        jobs[model, mode, status] = jobs.get((model, mode, status), 0.0) + count
    family = GaugeMetricFamily(
        "renderfarm_jobs", "Jobs by model, mode and status.", labels=["model", "mode", "status"]
    )
    for labels, count in jobs.items():
        family.add_metric(labels, count)
    return family


def histograms(sums: Sums) -> Iterator[Metric]:
    """How long they waited and how long they took, by the same."""
    waits, lives = _Histograms(_WAITS), _Histograms(_LIVES)
    for kind in KINDS:
        waits.add(kind)
        for outcome in sorted(FINAL):
            lives.add((*kind, outcome))
    for (model, mode, status, wait_bucket, life_bucket), (count, wait, life) in sums.items():
        if wait_bucket is not None:
            waits.add((model, mode), wait_bucket, count, wait)
        if life_bucket is not None:
            lives.add((model, mode, status), life_bucket, count, life)
    yield waits.family(
        "renderfarm_job_wait_seconds",
        "Seconds from a job's submission to its start. One that waits in vain counts once it has waited"
        f" {PROMISED_START:.0f} s, above all buckets until it starts.",
        ["model", "mode"],
    )
    yield lives.family(
        "renderfarm_job_duration_seconds",
        "Seconds from a job's submission to its end.",
        ["model", "mode", "outcome"],
    )


_Labels = tuple[str, ...]


class _Histograms:
    """Histograms of the same buckets, by their labels."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = [*map(floatToGoString, bounds), "+Inf"]
        self._counts: dict[_Labels, list[float]] = {}
        self._sums: defaultdict[_Labels, float] = defaultdict(float)

    def add(self, labels: _Labels, bucket: int = 0, count: float = 0.0, total: float = 0.0) -> None:
        """So many more in a bucket, which are ``total`` together."""
        self._counts.setdefault(labels, [0.0] * len(self._bounds))[bucket] += count
        self._sums[labels] += total

    def family(self, name: str, documentation: str, labels: Sequence[str]) -> HistogramMetricFamily:
        found = HistogramMetricFamily(name, documentation, labels=labels)
        for values, counts in self._counts.items():
            buckets = list(zip(self._bounds, accumulate(counts), strict=True))
            found.add_metric(values, buckets, self._sums[values])
        return found
