"""How far a job is: read from the rows, never written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.spec import Stage
from renderfarm.models import JobStatus
from renderfarm.stages import WEIGHTS

#: A share of the work below this says nothing about the speed of the rest.
_TELLING = 0.03
#: Where a job stands that had nothing to do.
_LAST, _NOTHING = Stage.STITCH, (100, 100, False, True)
_ORDER = {stage: place for place, stage in enumerate(Stage)}


@dataclass(frozen=True, slots=True)
class JobProgress:
    """What a user sees of a job at work. ``pct`` never goes back, and is 100 only when complete."""

    stage: str
    #: Frames of the stage, or percent where it does not go by frames.
    done: int
    total: int
    pct: int
    #: Seconds still to go at the speed so far; None before that can be told.
    eta_seconds: float | None


#: The ``stages`` of ``progress_of``, for the job of an outer query's ``jobs.id``.
STAGES = """
    SELECT json_agg(json_build_array(stage, done, total, running, over)) FROM (
        SELECT stage, sum(done)::int8 AS done, sum(total)::int8 AS total,
            bool_or(status = 'running') AS running, bool_and(status = 'done') AS over
        FROM units WHERE job_id = jobs.id
            -- what is cancelled of an open job is of a plan that it had before
            AND (status <> 'cancelled' OR jobs.status NOT IN ('queued', 'processing'))
        GROUP BY stage
    ) AS stages
    """


def progress_of(
    status: str,
    own: Sequence[str],
    stages: Iterable[tuple[str, int, int, bool, bool]],
    elapsed: float | None,
) -> JobProgress:
    """How far a job is, over its ``own`` stages by their fixed weights.

    ``elapsed`` are seconds since it started.
    """
    rows = {Stage(stage): (done, total, running, over) for stage, done, total, running, over in stages}
    whole = sum(WEIGHTS[Stage(stage)] for stage in own)
    share = sum(WEIGHTS[stage] * done / total for stage, (done, total, _, _) in rows.items()) / max(1, whole)
    at_work = [stage for stage, (_, _, running, _) in rows.items() if running]
    still_open = [stage for stage, (_, _, _, over) in rows.items() if not over]
    if at_work:
        stage = max(at_work, key=_ORDER.__getitem__)
    else:
        stage = min(still_open, key=_ORDER.__getitem__, default=Stage(own[-1]) if own else _LAST)
    done, total, _, _ = rows.get(stage, _NOTHING)
    complete = status == JobStatus.COMPLETE
    pct = 100 if complete else min(99, int(100 * share))
    return JobProgress(stage.value, done, total, pct, _eta(status, share, elapsed))


def _eta(status: str, share: float, elapsed: float | None) -> float | None:
    if status == JobStatus.COMPLETE:
        return 0.0
    if status != JobStatus.PROCESSING or share < _TELLING or elapsed is None:
        return None
    return round(elapsed * (1 - share) / share, 1)
