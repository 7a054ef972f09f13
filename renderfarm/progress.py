"""How far a job is, and how long it still has to wait: read from the rows, never written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Subquery, func, or_, select, union_all
from sqlalchemy.orm import Session

from pipeline.spec import Model, Stage
from renderfarm.models import Job, JobStatus, Unit, UnitStatus
from renderfarm.stages import QUEUES, WEIGHTS

#: A share of the work below this says nothing about the speed of the rest.
_TELLING = 0.03
#: More than can ever wait: admitted units stand before all that are not.
_AHEAD = 1 << 40
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


def waiting_in_turn(
    queue: str, pins: Collection[str] | None = None, served: Collection[str] | None = None
) -> Subquery:
    """The queue's waiting units, numbered in the order of admission: id, job_id, turn, place.

    Only those of ``pins``, where given. An account's turn counts what it has admitted or running
    anywhere, then its units that wait, the oldest job's first. So whoever has the least goes first, and
    among equals whoever came first. Admitted units that no worker can claim, since their pins are not
    ``served``, count for nothing: they would take their account's share until their job times out.
    """
    claimable = Unit.status == UnitStatus.ADMITTED
    if served is not None:
        claimable &= Unit.pins.in_(served)
    busy = (
        select(Unit.account_id, func.count().label("units"))
        .where(or_(Unit.status == UnitStatus.RUNNING, claimable))
        .group_by(Unit.account_id)
        .subquery()
    )
    own_order = func.row_number().over(partition_by=Unit.account_id, order_by=(Unit.queued_at, Unit.id))
    turns = (
        select(
            Unit.id,
            Unit.job_id,
            Unit.queued_at,
            (func.coalesce(busy.c.units, 0) + own_order).label("turn"),
        )
        .outerjoin(busy, busy.c.account_id == Unit.account_id)
        .where(Unit.queue == queue, Unit.status == UnitStatus.WAITING, Unit.not_before <= func.now())
    )
    if pins is not None:
        turns = turns.where(Unit.pins.in_(pins))
    turn = turns.subquery()
    place = func.row_number().over(order_by=(turn.c.turn, turn.c.queued_at, turn.c.id))
    return select(turn.c.id, turn.c.job_id, turn.c.turn, place.label("place")).subquery()


def queue_position(session: Session, job: Job) -> int | None:
    """1 for the queued job that is to start next; None for one that has started or ended."""
    if job.status != JobStatus.QUEUED:
        return None
    queue = QUEUES[Model(job.model)]
    waiting = waiting_in_turn(queue)
    admitted = (Unit.queue == queue) & (Unit.status == UnitStatus.ADMITTED)
    order_of_admission = func.row_number().over(order_by=Unit.admitted_at)
    line = union_all(
        select(Unit.job_id, (order_of_admission - _AHEAD).label("place")).where(admitted),
        select(waiting.c.job_id, waiting.c.place),
    ).subquery()
    first = (
        select(line.c.job_id, func.min(line.c.place).label("place"))
        .join(Job, Job.id == line.c.job_id)
        .where(Job.status == JobStatus.QUEUED)
        .group_by(line.c.job_id)
        .cte()
    )
    own_place = select(first.c.place).where(first.c.job_id == job.id).scalar_subquery()
    ahead = select(func.count()).select_from(first).where(first.c.place <= own_place)
    return session.execute(ahead).scalar_one() or None
