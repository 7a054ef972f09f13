"""How far a job is: read from the rows, never written."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.spec import Stage
from renderfarm.models import Job, JobStatus, Unit, UnitStatus
from renderfarm.stages import WEIGHTS

#: A share of the work below this says nothing about the speed of the rest.
_TELLING = 0.03
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


def progress(session: Session, job: Job) -> JobProgress:
    """How far the job is, over all stages by their fixed weights."""
    query = select(
        Unit.stage,
        func.sum(Unit.done),
        func.sum(Unit.total),
        func.bool_or(Unit.status == UnitStatus.RUNNING),
        func.bool_and(Unit.status == UnitStatus.DONE),
    )
    rows = {
        Stage(stage): (int(done), int(total), bool(running), bool(over))
        for stage, done, total, running, over in session.execute(
            query.where(Unit.job_id == job.id).group_by(Unit.stage)
        )
    }
    share = sum(WEIGHTS[stage] * done / total for stage, (done, total, _, _) in rows.items()) / 100
    at_work = [stage for stage, (_, _, running, _) in rows.items() if running]
    still_open = [stage for stage, (_, _, _, over) in rows.items() if not over]
    if at_work:
        stage = max(at_work, key=_ORDER.__getitem__)
    else:
        stage = min(still_open, key=_ORDER.__getitem__, default=Stage.STITCH)
    done, total, _, _ = rows[stage]
    complete = job.status == JobStatus.COMPLETE
    pct = 100 if complete else min(99, int(100 * share))
    return JobProgress(stage.value, done, total, pct, _eta(session, job, share))


def _eta(session: Session, job: Job, share: float) -> float | None:
    if job.status == JobStatus.COMPLETE:
        return 0.0
    if job.status != JobStatus.PROCESSING or share < _TELLING:
        return None
    elapsed = select(func.extract("epoch", func.now() - Job.started_at)).where(Job.id == job.id)
    return round(float(session.execute(elapsed).scalar_one()) * (1 - share) / share, 1)
