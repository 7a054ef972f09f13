"""The sweeper: what time alone brings about. Any number may run; each step is its own transaction.

leases that ran out        the unit goes to another worker, or fails with its code
deadlines that passed      the job fails, and its credits go back
workers that went silent   their rows are dropped
versions that went away    the job is planned anew for those that are there
idempotency keys grown old they are forgotten
uploads that expired       their rows are dropped
webhooks sent long ago     they are dropped from the log
files kept for long enough they are garbage
garbage whose time came    the stored files are deleted, and leave the caches (``disposal.py``)
"""

from __future__ import annotations

import logging

import prometheus_client
from sqlalchemy import CompoundSelect, Select, func, select

from pipeline.spec import Model, plan_for
from renderfarm import (
    context,
    crash,
    idempotency,
    jobs,
    leases,
    line,
    pools,
    retention,
    stages,
    uploads,
    webhooks,
)
from renderfarm.db import Database, after
from renderfarm.disposal import Disposal
from renderfarm.jobs import Outcome
from renderfarm.models import Job, Unit, UnitStatus
from renderfarm.replan import replan
from renderfarm.settings import Settings
from renderfarm.storage import Storage

log = logging.getLogger(__name__)

#: Rows handled per step, so that no step keeps the next one waiting.
_BATCH = 100
_REQUEUED = prometheus_client.Counter(
    "renderfarm_sweeper_requeued_total", "Units that the sweeper had queued again, by why.", ["reason"]
)
for _reason in (Outcome.LOST, Outcome.STALLED, Outcome.REPLANNED):
    _REQUEUED.labels(_reason)


class Sweeper:
    """Sweeps one farm's rows, and its store."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self._settings = settings
        self._database = database
        self._disposal = Disposal(settings, database, storage)

    def sweep(self) -> int:
        """One pass over all but the garbage; how many rows it changed."""
        chores = (
            self.take_back_leases,
            self.enforce_deadlines,
            self.forget_workers,
            self.forget_keys,
            self.forget_uploads,
        )
        return sum(chore() for chore in chores)

    def take_back_leases(self) -> int:
        """Take back every lease that has run out."""
        query = (
            select(Unit.id, Unit.job_id, Unit.worker, Job.request_id)
            .join(Job, Job.id == Unit.job_id)
            .where(Unit.status == UnitStatus.RUNNING, leases.expired())
            .limit(_BATCH)
        )
        with self._database.begin() as session:
            expired = session.execute(query).all()
        taken = 0
        for unit_id, job_id, worker, request_id in expired:
            with self._database.begin() as session:
                outcome = leases.take_back(session, self._settings, unit_id)
            if outcome is not None:
                crash.here(self._settings, crash.Point.TAKEN_BACK)
                with context.about(request=request_id, job=job_id, unit=unit_id):
                    log.warning("took back from %s: %s", worker, outcome.value)
                if outcome is not Outcome.FAILED:
                    _REQUEUED.labels(outcome).inc()
                taken += 1
        return taken

    def enforce_deadlines(self) -> int:
        """Fail every job that is past its queue or run deadline."""
        failed = 0
        for job_id in self._ids(jobs.late().limit(_BATCH)):
            with self._database.begin() as session:
                late = jobs.time_out(session, self._settings, job_id)
            if late:
                with context.about(job=job_id):
                    log.warning("the job is past its deadline")
                failed += 1
        return failed

    def forget_workers(self) -> int:
        """Drop the rows of workers that have been silent for long."""
        with self._database.begin() as session:
            names = pools.forget_dead_workers(session, self._settings)
        for name in names:
            log.warning("worker %s went silent", name)
        return len(names)

    def tidy(self) -> int:
        """One pass over what is seldom amiss: lines without a row, jobs without a worker, an old log."""
        with self._database.begin() as session:
            mended = line.mend(session)
        if mended:
            log.warning("%d accounts had units waiting and no place in the line", mended)
        return mended + self.forget_webhooks() + self.expire_files() + self.replan_stranded()

    def expire_files(self) -> int:
        """Throw away what renders have kept for as long as the settings say; of how many."""
        with self._database.begin() as session:
            return retention.expire(session, self._settings)

    def replan_stranded(self) -> int:
        """Plan those jobs anew of which a unit waits for versions that no live worker of its pool has.

        For ``replan_seconds`` such a worker may still come back. Where the pools cannot do what would
        be planned here either, a job is left as it is: a newer dispatcher knows better.
        """
        since = after(-self._settings.replan_seconds)
        with self._database.begin() as session:
            there = pools.live_pools(session, self._settings)
            stranded = [
                job
                for queue, pool in there.items()
                for job in session.execute(
                    select(Job.id, Job.model, Job.urls)
                    .distinct()
                    .join(Unit, Unit.job_id == Job.id)
                    .where(
                        Unit.queue == queue,
                        Unit.status.in_([UnitStatus.WAITING, UnitStatus.ADMITTED]),
                        Unit.pins.not_in(sorted(pool.pins)),
                        func.greatest(Unit.created_at, Unit.not_before) < since,
                    )
                    .limit(_BATCH)
                )
            ]
        replanned = 0
        for job_id, model, urls in stranded:
            plan = plan_for(Model(model), engine=self._settings.engine_of(Model(model)))
            if not all(
                queue in there and stages.pins_by(plan, queue) in there[queue].pins
                for queue in (stages.QUEUES[Model(model)], stages.CPU, *([stages.FETCH] if urls else []))
            ):
                log.warning("%s waits for versions that no worker has, nor ours", job_id)
                continue
            with self._database.begin() as session:
                changed = replan(session, job_id, plan)
            if changed:
                log.warning("%s was planned anew: no worker has its versions any more", job_id)
                _REQUEUED.labels(Outcome.REPLANNED).inc()
                replanned += 1
        return replanned

    def collect_garbage(self) -> int:
        """Delete stored files whose time has come; how many keys went."""
        return self._disposal.delete()

    def purge_caches(self) -> int:
        """Have the caches forget what was deleted; how many keys they were told of."""
        return self._disposal.purge()

    def forget_keys(self) -> int:
        """Drop idempotency keys whose time is over; how many went."""
        with self._database.begin() as session:
            return idempotency.forget(session, _BATCH)

    def forget_uploads(self) -> int:
        """Drop the rows of uploads that nobody finished, or used, in time; their files are garbage."""
        with self._database.begin() as session:
            return uploads.forget(session, _BATCH)

    def forget_webhooks(self) -> int:
        """Drop what ended long ago from the log of webhooks; how many went."""
        with self._database.begin() as session:
            return webhooks.forget(session, self._settings, _BATCH)

    def _ids(self, query: Select[str] | CompoundSelect[str]) -> list[str]:
        with self._database.begin() as session:
            return list(session.scalars(query))
