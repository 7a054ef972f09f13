"""Leases: how a worker gets a unit, keeps it while its work advances, and gives it back.

claim       compare-and-set on the unit; its attempt number is the fence of all that follows
heartbeat   prolongs the lease, but only while progress has advanced within the stall limit
add_item    makes a finished piece or segment part of the job, whatever becomes of the attempt
promise     notes a public or fetched file before it is stored: garbage, until it is made the job's
hand_over   gives the unit back unfinished, for a worker that has to go
take_back   ends a lease that ran out: the worker is lost, or its work hangs
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, case, func, or_, select, update
from sqlalchemy.orm import Session

from pipeline.spec import Plan, RenderSpec, Stage
from pipeline.units import BY_SPANS, missing_spans, spans_of
from renderfarm import garbage, jobs
from renderfarm.claims import Claim, WorkerIdentity
from renderfarm.db import after
from renderfarm.jobs import Outcome
from renderfarm.models import FINAL, Artifact, Job, JobKind, Unit, UnitStatus
from renderfarm.pools import idle_workers
from renderfarm.settings import Settings
from renderfarm.storage import StoredFile

__all__ = [
    "BetterElsewhere",
    "Claim",
    "WorkerIdentity",
    "add_item",
    "claim",
    "expired",
    "hand_over",
    "heartbeat",
    "promise",
    "take_back",
]


#: For so long a unit that failed on a worker is left to others.
_AVOIDED_SECONDS = 10.0


class BetterElsewhere(Exception):
    """The unit failed on this worker, and another one is free."""


def claim(session: Session, settings: Settings, unit_id: str, worker: WorkerIdentity) -> Claim | None:
    """Take the unit under a lease; None when it is not to be had, or not for this worker.

    A unit of another queue, or pinned to versions the worker does not have, stays as it is for the
    right one. So does one that is running or done: messages come twice, and late.
    Raises ``BetterElsewhere`` for a unit that failed here just now while another worker is free for it.
    """
    lately = Unit.not_before > after(-_AVOIDED_SECONDS)
    wanted = session.execute(
        select(Unit.job_id, Unit.queue, Unit.pins, (Unit.avoid == worker.name) & lately).where(
            Unit.id == unit_id, Unit.status == UnitStatus.ADMITTED
        )
    ).first()
    if wanted is None or wanted.queue != worker.queue or wanted.pins not in worker.pins():
        return None
    if wanted[3] and any(wanted.pins in idle.pins() for idle in idle_workers(session, settings, worker)):
        raise BetterElsewhere
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
    """``key`` is about to be stored, and garbage until it is the job's; False for a late attempt.

    A late one may draw the same bytes under the same key, which may be the finished job's by now.
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


def _claim_of(session: Session, job: Job, unit: Unit) -> Claim:
    stage, spec = Stage(unit.stage), RenderSpec.from_json(job.spec)
    plan, video = Plan.from_json(job.plan), job.known_video
    artifacts = {
        row.name: StoredFile(row.name, row.key, row.size, row.sha256)
        for row in session.scalars(select(Artifact).where(Artifact.job_id == job.id))
    }
    cuts = tuple(job.facts.get("cuts", ()))
    spans = spans_of(stage, plan, video, cuts) if video is not None else ()
    if unit.fast and stage in BY_SPANS:  # each of them is a unit
        spans = tuple(span for span in spans if span.index == unit.index)
    spans = missing_spans(stage, spec, spans, artifacts.keys())
    return Claim(
        unit_id=unit.id,
        job_id=job.id,
        account_id=job.account_id,
        request_id=job.request_id,
        traceparent=job.traceparent,
        kind=JobKind(job.kind),
        mode=job.mode,
        stage=stage,
        index=unit.index,
        attempt=unit.attempt,
        spec=spec,
        plan=plan,
        video=video,
        inputs=job.inputs,
        urls=job.urls,
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
