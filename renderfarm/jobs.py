"""The state machine of jobs and their units: the only place that changes a status.

    job    queued --> processing --> complete | failed | cancelled
    unit   waiting --> admitted --> running --> done | failed | cancelled
              ^------------------------'  a retry, a lost worker, a hand-over

How a job begins anew by another plan is in ``replan.py``. Each function is part of one transaction of
its caller. Each locks the job's row first, then the unit's, and touches the account last, so that no two
of them can wait for each other. A worker's writes are fenced: they name the attempt, and change nothing
once the unit has gone on without it. Whatever makes work or room ends with ``announce``, and PostgreSQL
sends one NOTIFY per transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Text,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from pipeline.spec import RENDER, Plan, RenderSpec, Stage, VideoInfo
from renderfarm import (
    context,
    credits,
    free,
    garbage,
    holdings,
    line,
    prices,
    stages,
    submission,
    tracing,
    units,
    webhooks,
)
from renderfarm.bell import announce
from renderfarm.claims import Claim
from renderfarm.db import Database, after, new_id, raw
from renderfarm.errors import TABLE, FarmError
from renderfarm.models import FINAL, Account, Artifact, Attempt, Job, JobKind, JobStatus, Unit, UnitStatus
from renderfarm.settings import Settings
from renderfarm.storage import StoredFile
from renderfarm.units import FAST

__all__ = [
    "FAST",
    "NewJob",
    "Outcome",
    "Submitted",
    "admit",
    "call_off",
    "cancel",
    "drop_units",
    "fail",
    "fenced",
    "finish",
    "is_one_statement",
    "late",
    "lock",
    "pass_on",
    "requeue",
    "retry",
    "start",
    "submit",
    "submit_at_once",
    "time_out",
]

#: The fact that comes with the video, and is true of it under any plan.
SOURCE = "source"
#: A unit that has lost this many workers without finishing anything is the reason for it.
POISONOUS = 2
#: The code of an attempt for which its worker had not enough memory.
OUT_OF_MEMORY = "CS-UORC01-107"
_LONGEST_BACKOFF = 60.0
#: In the order in which they are given: no two units are admitted at the same time.
_ADMIT = text(
    """
    UPDATE units SET status = 'admitted', published_at = now(),
        admitted_at = statement_timestamp() + next.place * interval '1 microsecond'
    FROM unnest(:ids) WITH ORDINALITY AS next(id, place)
    WHERE units.id = next.id AND units.job_id = ANY(:jobs) AND units.status = 'waiting'
    RETURNING units.id
    """
).bindparams(bindparam("ids", type_=ARRAY(Text)), bindparam("jobs", type_=ARRAY(Text)))
_OPEN = (UnitStatus.WAITING, UnitStatus.ADMITTED, UnitStatus.RUNNING)


class Outcome(StrEnum):
    """How an attempt at a unit ended."""

    DONE = "done"
    RETRY = "retry"  # failed, and queued again
    FAILED = "failed"  # failed for good, and the job with it
    LOST = "lost"  # its worker vanished; queued again
    STALLED = "stalled"  # it made no progress; queued again
    HANDED_OVER = "handed_over"  # its worker had to go; queued again, and not counted
    REPLANNED = "replanned"  # its versions are gone: the job began anew
    CANCELLED = "cancelled"  # the job ended without it
    STALE = "stale"  # it had ended before: nothing was changed


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to submit. ``inputs`` are storage keys: ``picture`` and ``video``."""

    spec: RenderSpec
    plan: Plan
    #: None, as ``credits``: not known yet.
    video: VideoInfo | None
    inputs: Mapping[str, str] = field(default_factory=dict)
    #: Where those inputs are to be fetched from that are not there yet.
    urls: Mapping[str, str] = field(default_factory=dict)
    mode: str
    credits: int | None
    #: What the job consists of, in order.
    stages: Sequence[Stage] = RENDER
    kind: JobKind = JobKind.RENDER
    notes: Mapping[str, Any] = field(default_factory=dict)
    #: What was found out of the video; empty: every reader looks for itself.
    source: str = ""
    #: Who is told what becomes of it, besides the account's own endpoints.
    webhook_url: str | None = None
    #: The stored assets it works with: what is known through them, and which of their files are its own
    #: artifacts from the start (``submission.Rows``).
    assets: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    lent: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that was just submitted."""

    id: str
    account_id: str
    mode: str
    created_at: datetime


def submit(session: Session, settings: Settings, account_id: str, new: NewJob) -> Submitted:
    """Write the job, its first units and the hold; its uploads are garbage no longer.

    Inputs that are to be fetched are a stage of their own, before all others; where the price depends on
    them the hold comes with them (``arrivals.py``), and the account has to have the least it can be.
    Raises CS-ORCR-001, CS-ORIV-010 where an asset was deleted meanwhile, and CS-UORC01-001 where a fast
    job finds no free workers; the caller's transaction must not be committed then.
    """
    if new.mode == FAST and not line.room_for_fast(session, settings, stages.QUEUES[new.spec.model]):
        raise FarmError("CS-UORC01-001")
    if not new.credits:  # what is paid for asks the account for it
        _check_account(session, account_id)
    if new.credits is None:
        credits.in_turn(session, account_id)
    made = _write(raw(session), settings, account_id, new)
    if new.credits is None:
        credits.foresee(session, account_id)
    if not new.stages:
        _end(session, settings, session.get_one(Job, made.id), JobStatus.COMPLETE)
    return made


def submit_at_once(database: Database, settings: Settings, account_id: str, new: NewJob) -> Submitted:
    """The same without a transaction, where the one statement is all of it: ``is_one_statement``."""
    assert is_one_statement(new)
    with database.at_once() as connection:
        return _write(connection, settings, account_id, new)


def is_one_statement(new: NewJob) -> bool:
    """Whether nothing has to be asked or done besides: its price is known, and there is work for anybody."""
    return new.credits is not None and bool(new.stages) and new.mode != FAST


def _write(
    connection: psycopg.Connection[Any], settings: Settings, account_id: str, new: NewJob
) -> Submitted:
    job_id = new_id("job")
    with context.about(job=job_id), tracing.span("submit"):
        rows = _rows(settings, account_id, job_id, new)
        created_at = submission.write(connection, rows)
    context.note(job=job_id)
    return Submitted(job_id, account_id, new.mode, created_at)


def _rows(settings: Settings, account_id: str, job_id: str, new: NewJob) -> submission.Rows:
    own = (Stage.FETCH, *new.stages) if new.urls else tuple(new.stages)
    job = {
        "id": job_id,
        "account_id": account_id,
        "kind": new.kind.value,
        "stages": [stage.value for stage in own],
        "mode": new.mode,
        "model": new.spec.model.value,
        "spec": new.spec.to_json(),
        "plan": new.plan.to_json(),
        "video": new.video.to_json() if new.video else None,
        "inputs": dict(new.inputs),
        "urls": dict(new.urls),
        "notes": dict(new.notes),
        "facts": {**new.facts, **({SOURCE: new.source} if new.source else {})},
        "credits": new.credits,
        "patience": settings.queue_deadline_seconds,
        "webhook_url": new.webhook_url,
        "request_id": context.request_id(),
        "traceparent": tracing.here(),
    }
    first = stages.following(own, (), ())
    cuts = new.facts.get("cuts", ())
    planned = units.planned(job_id, new.plan, new.spec.model, new.mode, new.video, cuts, first)
    return submission.Rows(
        job, planned, new.assets, new.lent, kept=tuple(new.inputs.values()), hold=new.credits or 0
    )


def admit(session: Session, unit_ids: Sequence[str]) -> list[str]:
    """waiting -> admitted, in this order; those whose job somebody else is changing are left out."""
    owners = select(Unit.job_id).where(Unit.id.in_(unit_ids))
    free = select(Job.id).where(Job.id.in_(owners)).order_by(Job.id).with_for_update(skip_locked=True)
    moved = session.scalars(_ADMIT, {"ids": list(unit_ids), "jobs": list(session.scalars(free))})
    admitted = set(moved)
    return [unit_id for unit_id in unit_ids if unit_id in admitted]


def start(session: Session, settings: Settings, job: Job, unit_id: str, worker: str) -> Unit | None:
    """admitted -> running under a new lease, and the job processing; None when it is not admitted.

    A job whose files are only fetched is queued still: its own work waits for its turn like any other's.
    """
    started = session.scalar(
        update(Unit)
        .where(Unit.id == unit_id, Unit.status == UnitStatus.ADMITTED)
        .values(
            status=UnitStatus.RUNNING.value,
            attempt=Unit.attempt + 1,
            attempt_done=0,
            worker=worker,
            lease_until=after(settings.lease_seconds),
            progressed_at=func.now(),
            started_at=func.now(),
        )
        .returning(Unit)
        .execution_options(populate_existing=True)
    )
    if started is not None and started.fast and not job.ran_wide:
        job.ran_wide = _runs_beside(session, started)
    if started is not None and started.stage != Stage.FETCH and job.status == JobStatus.QUEUED:
        job.status = JobStatus.PROCESSING.value
        _set(job, started_at=func.now(), run_deadline=after(settings.run_deadline_seconds))
        webhooks.note(session, job)
    return started


def finish(
    session: Session,
    settings: Settings,
    claim: Claim,
    files: Sequence[StoredFile],
    facts: Mapping[str, Any],
) -> bool:
    """running -> done, with its last files; False, and nothing changed, for a late attempt.

    Makes the stages that waited for it. The last unit of a job completes it: its outputs belong to
    the job, and the hold is captured.
    """
    held = fenced(session, claim)
    if held is None:
        return False
    job, unit = held
    keep_files(session, claim, files)
    job.facts = {**job.facts, **facts}
    pass_on(session, settings, job, unit, files)
    return True


def pass_on(session: Session, settings: Settings, job: Job, unit: Unit, files: Sequence[StoredFile]) -> None:
    """running -> done, for a unit that ``fenced`` has held: what waited for it is made, or its job ends."""
    _end_attempt(session, unit, Outcome.DONE)
    unit.status = UnitStatus.DONE.value
    unit.done = unit.total
    _set(unit, finished_at=func.now())
    session.flush()
    own = [Stage(stage) for stage in job.stages]
    done, made = units.passed(session, job)
    job.checkpoint = stages.checkpoint_of(own, done)
    units.make(session, job, stages.following(own, done, made))
    if done.issuperset(own):
        job.outputs = {file.name: file.key for file in files}
        garbage.keep(session, job.outputs.values())
        _end(session, settings, job, JobStatus.COMPLETE)
    announce(session)


def fail(
    session: Session, settings: Settings, claim: Claim, code: str, message: str, retryable: bool
) -> Outcome:
    """The attempt failed: RETRY, FAILED (and the job with it), or STALE when it had ended before."""
    held = fenced(session, claim)
    if held is None:
        return Outcome.STALE
    return retry(session, settings, *held, Outcome.RETRY, code, message, retryable=retryable)


def retry(
    session: Session,
    settings: Settings,
    job: Job,
    unit: Unit,
    outcome: Outcome,
    code: str,
    message: str,
    *,
    retryable: bool = True,
) -> Outcome:
    """Queue a unit again whose attempt did not succeed, or fail the job when that has no use.

    Preferably on another worker, but for the first lack of memory. Failures count since the last newly
    finished item, so that a long job is not worn out by them.
    """
    unit.failures += 1
    unit.lost += outcome is Outcome.LOST
    unit.error_code, unit.error_message = code, message
    # A worker without memory for it may have some when what it had loaded is gone; once.
    unit.avoid = None if code == OUT_OF_MEMORY and unit.failures == 1 else unit.worker
    if retryable and unit.failures < settings.max_attempts and unit.lost < POISONOUS:
        backoff = min(settings.retry_seconds * 2.0 ** (unit.failures - 1), _LONGEST_BACKOFF)
        # The engine was not at fault when its worker vanished: another may start at once.
        requeue(session, unit, outcome, 0.0 if outcome is Outcome.LOST else backoff)
        return outcome
    _end_attempt(session, unit, Outcome.FAILED)
    unit.status = UnitStatus.FAILED.value
    _set(unit, finished_at=func.now())
    _end(session, settings, job, JobStatus.FAILED, code, message)
    return Outcome.FAILED


def requeue(session: Session, unit: Unit, outcome: Outcome, backoff: float = 0.0) -> None:
    """running -> waiting; what its attempt still writes changes nothing from here on."""
    _end_attempt(session, unit, outcome)
    unit.status = UnitStatus.WAITING.value
    unit.worker = None
    _set(unit, not_before=after(backoff))
    session.flush()
    line.join(session, unit.account_id, [(unit.queue, unit.fast)])
    announce(session)


def cancel(session: Session, account_id: str, job_id: str, settings: Settings) -> Job:
    """End the job and give its credits back at once; CS-UORC01-110, -112 and -118 where that cannot be."""
    job = lock(session, job_id)
    if job is None or job.account_id != account_id:
        raise FarmError("CS-UORC01-110")
    if job.status in FINAL:
        raise FarmError("CS-UORC01-112")
    free.check_cancel(session, settings, job)
    _end(session, settings, job, JobStatus.CANCELLED, "CS-UORC01-105", "")
    return job


def call_off(session: Session, settings: Settings, job_id: str) -> bool:
    """End the job for the operator, however many its account has cancelled; False where it has ended."""
    job = lock(session, job_id)
    if job is None or job.status in FINAL:
        return False
    _end(session, settings, job, JobStatus.CANCELLED, "CS-UORC01-105", "")
    return True


def time_out(session: Session, settings: Settings, job_id: str) -> bool:
    """Fail the job with CS-UORC01-104 if it is past its deadline."""
    job = lock(session, job_id)
    if job is None or not session.scalar(select(or_(*_past_deadline())).where(Job.id == job_id)):
        return False
    waited = job.status == JobStatus.QUEUED
    message = "The job waited too long for a worker." if waited else "The job ran too long."
    _end(session, settings, job, JobStatus.FAILED, "CS-UORC01-104", message)
    return True


def late() -> CompoundSelect[str]:
    """The ids of the jobs that have waited, or run, for longer than they may."""
    queued, running = _past_deadline()
    return select(Job.id).where(queued).union_all(select(Job.id).where(running))


def _past_deadline() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Whether a job has waited, and whether it has run, for longer than it may."""
    return (
        (Job.status == JobStatus.QUEUED) & (Job.queue_deadline < func.now()),
        (Job.status == JobStatus.PROCESSING) & (Job.run_deadline < func.now()),
    )


def lock(session: Session, job_id: str) -> Job | None:
    """The job's row, locked until the transaction ends: the first step of every transition."""
    return session.get(Job, job_id, with_for_update=True, populate_existing=True)


def drop_units(session: Session, job: Job, which: ColumnElement[bool], outcome: Outcome) -> Sequence[Unit]:
    """Those of a locked job's units that are ``which``, cancelled: attempts that still run are late."""
    query = select(Unit).where(Unit.job_id == job.id, which).order_by(Unit.id).with_for_update()
    dropped = session.scalars(query.execution_options(populate_existing=True)).all()
    for unit in dropped:
        if unit.status == UnitStatus.RUNNING:
            _end_attempt(session, unit, outcome)
        unit.status = UnitStatus.CANCELLED.value
    return dropped


def fenced(session: Session, claim: Claim) -> tuple[Job, Unit] | None:
    """The claim's job and unit, locked; None when the unit has gone on without this attempt."""
    job = lock(session, claim.job_id)
    unit = session.scalar(
        select(Unit)
        .where(
            Unit.id == claim.unit_id,
            Unit.attempt == claim.attempt,
            Unit.status == UnitStatus.RUNNING,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return None if job is None or unit is None else (job, unit)


def keep_files(session: Session, claim: Claim, files: Sequence[StoredFile]) -> None:
    """Make these files *the* artifacts of their names. Only for a claim that ``fenced`` has held."""
    for file in files:
        row = insert(Artifact).values(
            job_id=claim.job_id,
            name=file.name,
            unit_id=claim.unit_id,
            attempt=claim.attempt,
            key=file.key,
            size=file.size,
            sha256=file.sha256,
        )
        newer = {name: row.excluded[name] for name in ("unit_id", "attempt", "key", "size", "sha256")}
        session.execute(row.on_conflict_do_update(index_elements=["job_id", "name"], set_=newer))


def _check_account(session: Session, account_id: str) -> None:
    """CS-ORAU-002 where the account was deleted; whoever deletes it waits for this transaction."""
    # As the job's foreign key locks it later.
    mine = (
        select(Account.deleted_at).where(Account.id == account_id).with_for_update(key_share=True, read=True)
    )
    if session.scalar(mine) is not None:
        raise FarmError("CS-ORAU-002")


def _runs_beside(session: Session, unit: Unit) -> bool:
    """Whether another unit of the same stage of its job runs just now."""
    others = select(Unit.id).where(
        Unit.job_id == unit.job_id,
        Unit.stage == unit.stage,
        Unit.status == UnitStatus.RUNNING,
        Unit.id != unit.id,
    )
    return session.scalar(others.limit(1)) is not None


def _end(
    session: Session,
    settings: Settings,
    job: Job,
    status: JobStatus,
    code: str | None = None,
    message: str = "",
) -> None:
    """The job's last transition: no unit goes on, the hold is settled, its work becomes garbage.

    So do the inputs of a job that has nothing to show for them.
    """
    job.status = status.value
    job.urls = {}
    _set(job, completed_at=func.now())
    if code is not None:
        public = TABLE.get(code, TABLE["CS-UORC01-199"])
        job.error_code, job.error_message = public.code, message or public.message
    session.flush()
    for unit in drop_units(session, job, Unit.status.in_(_OPEN), Outcome.CANCELLED):
        _set(unit, finished_at=func.now())
    session.flush()
    left = [] if status is JobStatus.COMPLETE else holdings.own_inputs(session, job)
    if status is not JobStatus.COMPLETE or job.kind == JobKind.RENDER:
        left.append(f"work/{job.id}/")
    elif job.stages:  # a finished character or scene is what it has there
        holdings.shed(session, settings, job)
    garbage.throw(session, settings, left)
    if job.stages:  # what is complete from the start has used nothing, and would wait for its like
        holdings.give_back(session, settings, job.id)
    if status is JobStatus.COMPLETE:
        credits.capture(session, job, prices.charge(job.credits or 0, job.mode, job.ran_wide))
    else:
        credits.release(session, job)
    webhooks.note(session, job)
    announce(session)


def _end_attempt(session: Session, unit: Unit, outcome: Outcome) -> None:
    """Take the lease away and write down how the attempt ended."""
    session.add(
        Attempt(
            unit_id=unit.id,
            attempt=unit.attempt,
            stage=unit.stage,
            worker=unit.worker,
            outcome=outcome.value,
            error_code=unit.error_code if outcome is not Outcome.DONE else None,
            started_at=unit.started_at,
        )
    )
    unit.lease_until = None


def _set(row: Job | Unit, **times: ColumnElement[datetime]) -> None:
    """Set columns to times that the database works out as it writes the row."""
    for name, time in times.items():
        setattr(row, name, time)
