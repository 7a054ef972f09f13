"""Leases: how a worker gets a unit, keeps it while its work advances, and gives it back.

claim       compare-and-set on the unit; its attempt number is the fence of all that follows
heartbeat   prolongs the lease, but only while progress has advanced within the stall limit
add_item    makes a finished piece or segment part of the job, whatever becomes of the attempt
promise     notes a final output before it is stored: garbage, until ``finish`` makes it the job's
hand_over   gives the unit back unfinished, for a worker that has to go
take_back   ends a lease that ran out: the worker is lost, or its work hangs
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, delete, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline.spec import Plan, RenderSpec, Stage, VideoInfo
from pipeline.units import BY_SPANS, missing_spans, spans_of
from renderfarm import garbage, jobs
from renderfarm.claims import Claim, WorkerIdentity
from renderfarm.db import after
from renderfarm.jobs import Outcome
from renderfarm.models import FINAL, Artifact, Job, Unit, UnitStatus, Worker
from renderfarm.settings import Settings
from renderfarm.storage import StoredFile

__all__ = [
    "Claim",
    "Pool",
    "WorkerIdentity",
    "add_item",
    "claim",
    "expired",
    "forget_dead_workers",
    "forget_worker",
    "hand_over",
    "heartbeat",
    "pools",
    "promise",
    "report_worker",
    "take_back",
]

#: A worker's row is forgotten after this many leases without a report.
_FORGOTTEN_AFTER = 10


def claim(session: Session, settings: Settings, unit_id: str, worker: WorkerIdentity) -> Claim | None:
    """Take the unit under a lease; None when it is not to be had, or not for this worker.

    A unit of another queue, or pinned to versions the worker does not have, stays as it is for the
    right one. So does one that is running or done: messages come twice, and late.
    """
    wanted = session.execute(select(Unit.job_id, Unit.queue, Unit.pins).where(Unit.id == unit_id)).first()
    if wanted is None or wanted.queue != worker.queue or wanted.pins not in worker.pins():
        return None
    job = jobs.lock(session, wanted.job_id)
    if job is None or job.status in FINAL:
        return None
    unit = jobs.start(session, settings, job, unit_id, worker.name)
    return _claim_of(session, job, unit) if unit is not None else None


def heartbeat(session: Session, settings: Settings, claim: Claim, done: int, total: int) -> bool:
    """Say that ``done`` of ``total`` of this attempt is done; False: stop, the unit is not yours.

    False too for an attempt that has not advanced within its limit. Its lease is not prolonged
    then, so that the unit goes to another. Until the first progress the longer limit of set-up holds.
    """
    share = min(1.0, done / total) if total > 0 else 0.0
    shown = claim.finished + int((claim.total - claim.finished) * share)
    advanced = Unit.attempt_done < done
    kept = session.scalar(
        update(Unit)
        .where(_mine(claim), or_(advanced, ~_stalled(settings)))
        .values(
            attempt_done=func.greatest(Unit.attempt_done, done),
            progressed_at=case((advanced, func.now()), else_=Unit.progressed_at),
            done=func.greatest(Unit.done, shown),
            lease_until=after(settings.lease_seconds),
        )
        .returning(Unit.id)
        .execution_options(synchronize_session=False)
    )
    return kept is not None


def add_item(session: Session, claim: Claim, files: Sequence[StoredFile]) -> bool:
    """The files of one finished piece or segment are the job's from now on; False for a late attempt.

    Failures are counted anew from here.
    """
    held = jobs.fenced(session, claim)
    if held is None:
        return False
    jobs.keep_files(session, claim, files)
    _, unit = held
    unit.failures = unit.lost = 0
    session.flush()
    return True


def promise(session: Session, settings: Settings, claim: Claim, key: str) -> bool:
    """The output ``key`` is about to be stored, and garbage until ``jobs.finish``; False for a late attempt.

    A late one draws the same bytes under the same key, which may be the finished job's by now.
    """
    if jobs.fenced(session, claim) is None:
        return False
    garbage.throw(session, settings, [key])
    return True


def hand_over(session: Session, claim: Claim) -> bool:
    """Give the unit back, with all that was finished of it, uncounted; False for a late attempt."""
    held = jobs.fenced(session, claim)
    if held is None:
        return False
    _, unit = held
    jobs.requeue(session, unit, Outcome.HANDED_OVER)
    return True


def take_back(session: Session, settings: Settings, unit_id: str) -> Outcome | None:
    """Queue again, or fail, a unit whose lease ran out; None when it has not, or no longer."""
    job_id = session.scalar(select(Unit.job_id).where(Unit.id == unit_id))
    job = jobs.lock(session, job_id) if job_id is not None else None
    found = session.execute(
        select(Unit, _stalled(settings))
        .where(Unit.id == unit_id, Unit.status == UnitStatus.RUNNING, expired())
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()
    if job is None or found is None:
        return None
    unit, stalled = found
    if stalled:
        message = "The work made no progress for too long."
        return jobs.retry(session, settings, job, unit, Outcome.STALLED, "CS-UORC01-103", message)
    return jobs.retry(session, settings, job, unit, Outcome.LOST, "CS-UORC01-106", "")


def expired() -> ColumnElement[bool]:
    """Whether a running unit's lease has run out."""
    return Unit.lease_until < func.now()


def report_worker(session: Session, worker: WorkerIdentity, unit_id: str | None) -> None:
    """The worker is alive, and works on this unit or on none."""
    row = insert(Worker).values(
        name=worker.name, queue=worker.queue, versions=dict(worker.versions), unit_id=unit_id
    )
    seen = {name: row.excluded[name] for name in ("queue", "versions", "unit_id")}
    is_new = session.scalar(
        row.on_conflict_do_update(
            index_elements=[Worker.name], set_={**seen, "seen_at": func.now()}
        ).returning(literal_column("xmax = 0"))
    )
    if is_new:
        jobs.announce(session)  # there is room for one more


def forget_worker(session: Session, name: str) -> None:
    """The worker has gone for good."""
    session.execute(delete(Worker).where(Worker.name == name))


def forget_dead_workers(session: Session, settings: Settings) -> list[str]:
    """Drop the rows of workers that stopped reporting without a word; their names."""
    long_ago = after(-_FORGOTTEN_AFTER * settings.lease_seconds)
    dead = session.scalars(delete(Worker).where(Worker.seen_at < long_ago).returning(Worker.name))
    return list(dead)


@dataclass(frozen=True, slots=True)
class Pool:
    """The live workers of one queue."""

    #: Workers that reported within a lease and run no unit.
    idle: int
    #: The pins that at least one of its live workers can serve.
    pins: frozenset[str]


def pools(session: Session, settings: Settings) -> dict[str, Pool]:
    """The pool of each queue that has a live worker."""
    running = select(Unit.worker).where(Unit.status == UnitStatus.RUNNING)
    query = select(Worker, Worker.name.in_(running)).where(Worker.seen_at > after(-settings.lease_seconds))
    live: dict[str, list[tuple[frozenset[str], bool]]] = defaultdict(list)
    for worker, busy in session.execute(query):
        identity = WorkerIdentity(worker.name, worker.queue, worker.versions)
        live[worker.queue].append((identity.pins(), bool(busy)))
    return {
        queue: Pool(
            idle=sum(not busy for _, busy in workers),
            pins=frozenset().union(*(pins for pins, _ in workers)),
        )
        for queue, workers in live.items()
    }


def _claim_of(session: Session, job: Job, unit: Unit) -> Claim:
    stage, spec = Stage(unit.stage), RenderSpec.from_json(job.spec)
    plan, video = Plan.from_json(job.plan), VideoInfo.from_json(job.video)
    artifacts = {
        row.name: StoredFile(row.name, row.key, row.size, row.sha256)
        for row in session.scalars(select(Artifact).where(Artifact.job_id == job.id))
    }
    cuts = tuple(job.facts.get("cuts", ()))
    spans = missing_spans(stage, spec, spans_of(stage, plan, video, cuts), artifacts.keys())
    return Claim(
        unit_id=unit.id,
        job_id=job.id,
        account_id=job.account_id,
        stage=stage,
        index=unit.index,
        attempt=unit.attempt,
        spec=spec,
        plan=plan,
        video=video,
        inputs=job.inputs,
        artifacts=artifacts,
        facts=job.facts,
        spans=spans,
        total=unit.total,
        finished=unit.total - sum(map(len, spans)) if stage in BY_SPANS else 0,
    )


def _mine(claim: Claim) -> ColumnElement[bool]:
    return (Unit.id == claim.unit_id) & (Unit.attempt == claim.attempt) & (Unit.status == UnitStatus.RUNNING)


def _stalled(settings: Settings) -> ColumnElement[bool]:
    """Whether the running attempt has made no progress for longer than it may."""
    limit = case(
        (Unit.attempt_done == 0, after(-settings.setup_seconds)), else_=after(-settings.stall_seconds)
    )
    return Unit.progressed_at < limit
