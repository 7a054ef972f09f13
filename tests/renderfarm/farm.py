"""A farm of rows for the tests: accounts, jobs and workers in a few words, and a clock to turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from typing import Any

from sqlalchemy import func, select, text, update

from pipeline import spec
from pipeline.spec import RENDER, Background, Model, RenderSpec, Stage, VideoInfo, plan_for
from pipeline.units import items_of
from renderfarm import accounts, credits, dispatch, jobs, leases, places, pools, views
from renderfarm.claims import Claim, WorkerIdentity
from renderfarm.db import Database
from renderfarm.jobs import Outcome
from renderfarm.models import Account, Artifact, Attempt, Job, Unit, WebhookDelivery
from renderfarm.progress import JobProgress
from renderfarm.settings import Settings
from renderfarm.stages import LAST, pins_of
from renderfarm.storage import StoredFile

VIDEO = VideoInfo(width=320, height=180, rate=Fraction(30), frames=600, has_sound=True, codec="h264")
#: What today's plans are pinned to.
ENGINES = {"v3": str(spec.ENGINES[Model.V3]), "v4": str(spec.ENGINES[Model.V4])}
VERSIONS = {"perception": spec.PERCEPTION_VERSION, "plan": spec.PLAN_VERSION}


def pins(engine: str) -> str:
    """The pins of a unit of today's code but for its engine."""
    return pins_of("v4", engine, spec.PERCEPTION_VERSION, spec.PLAN_VERSION)


def worker(name: str, queue: str = "v4", **versions: Any) -> WorkerIdentity:
    """A worker that can run what is pinned today, unless told otherwise."""
    engines = [ENGINES[queue]] if queue in ENGINES else []
    return WorkerIdentity(name, queue, {"engines": engines, **VERSIONS, **versions})


#: Copies of one job, for as many accounts as there are, one millisecond after the other.
_CROWD = (
    """
    INSERT INTO accounts (id, name)
    SELECT 'acct_' || n, 'one of the crowd ' || n FROM generate_series(1, :accounts) AS n
    """,
    """
    INSERT INTO jobs (id, account_id, status, mode, model, spec, plan, video, inputs, credits,
                      queue_deadline, created_at)
    SELECT 'job_' || lpad(CAST(n AS text), 24, '0'),
           'acct_' || 1 + n % :accounts,
           status, mode, model, spec, plan, video, inputs, 0, queue_deadline,
           created_at + n * interval '1 ms'
    FROM jobs, generate_series(1, :more) AS n WHERE id = :first
    """,
    """
    INSERT INTO units (id, job_id, account_id, stage, index, queue, pins, status, total, queued_at)
    SELECT j.id || '\\:' || u.stage || '\\:0', j.id, j.account_id, u.stage, 0, u.queue, u.pins, u.status,
           u.total, j.created_at
    FROM units u, jobs j WHERE u.job_id = :first AND j.id <> :first
    """,
    "INSERT INTO lines (queue, fast, account_id) SELECT DISTINCT queue, fast, account_id FROM units"
    " ON CONFLICT DO NOTHING",
)


@dataclass
class Farm:
    """The farm's functions, each call a transaction of its own."""

    database: Database
    settings: Settings
    _names: count[int] = field(default_factory=lambda: count(1))

    def with_settings(self, **changed: Any) -> Farm:
        return replace(self, settings=replace(self.settings, **changed))

    def account(self, name: str = "", credit: int = 100) -> str:
        with self.database.begin() as session:
            account = accounts.create_account(session, name or f"account-{next(self._names)}")
            if credit:
                credits.grant(session, account.id, credit)
            return account.id

    def submit(
        self,
        account_id: str,
        model: Model = Model.V4,
        background: Background = Background.ORIGINAL,
        price: int = 20,
        video: VideoInfo = VIDEO,
        mode: str = "full_pipeline",
        stages: Sequence[Stage] = RENDER,
        webhook_url: str | None = None,
        assets: Sequence[str] = (),
    ) -> str:
        new = jobs.NewJob(
            spec=RenderSpec(model, background),
            plan=replace(plan_for(model), piece_frames=300, segment_frames=240),
            video=video,
            inputs={"picture": "in/a/picture", "video": "in/a/video"},
            mode=mode,
            credits=price,
            stages=stages,
            webhook_url=webhook_url,
            assets=assets,
        )
        with self.database.begin() as session:
            return jobs.submit(session, self.settings, account_id, new).id

    def crowd(self, jobs: int, accounts: int) -> str:
        """So many jobs that wait, of so many accounts; the first of them. Written at once, not one by one."""
        first = self.submit(self.account(credit=20))
        with self.database.begin() as session:
            for statement in _CROWD:
                session.execute(text(statement), {"first": first, "more": jobs - 1, "accounts": accounts})
        with self.database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
        return first

    def job(self, job_id: str) -> Job:
        with self.database.begin() as session:
            return session.get_one(Job, job_id)

    def unit(self, unit_id: str) -> Unit:
        with self.database.begin() as session:
            return session.get_one(Unit, unit_id)

    def units(self, job_id: str) -> dict[str, str]:
        """The status of each of the job's units, by stage."""
        with self.database.begin() as session:
            rows = session.execute(select(Unit.stage, Unit.status).where(Unit.job_id == job_id))
            return {stage: status for stage, status in rows}

    def artifacts(self, job_id: str) -> set[str]:
        with self.database.begin() as session:
            return set(session.scalars(select(Artifact.name).where(Artifact.job_id == job_id)))

    def outcomes(self, unit_id: str) -> list[str]:
        """How each attempt at the unit ended."""
        query = select(Attempt.outcome).where(Attempt.unit_id == unit_id).order_by(Attempt.attempt)
        with self.database.begin() as session:
            return list(session.scalars(query))

    def money(self, account_id: str) -> tuple[int, int]:
        """(available, held)"""
        with self.database.begin() as session:
            account = session.get_one(Account, account_id)
            return account.available, account.held

    def mismatches(self) -> int:
        with self.database.begin() as session:
            return credits.mismatches(session)

    def progress(self, job_id: str) -> JobProgress:
        seen = views.view(self.database, job_id)
        assert seen is not None
        return seen.progress

    def position(self, job_id: str) -> int | None:
        with self.database.begin() as session:
            return places.queue_position(session, session.get_one(Job, job_id))

    def report(self, *workers: WorkerIdentity) -> None:
        with self.database.begin() as session:
            for one in workers:
                pools.report_worker(session, one, None)

    def admit(self) -> list[str]:
        with self.database.begin() as session:
            return [unit.unit_id for unit in dispatch.admit(session, self.settings)]

    def claim(self, unit_id: str, by: WorkerIdentity | None = None) -> Claim | None:
        queue = self.unit(unit_id).queue
        with self.database.begin() as session:
            by = by or worker(f"another-{next(self._names)}", queue)
            return leases.claim(session, self.settings, unit_id, by)

    def take(self, unit_id: str, by: WorkerIdentity | None = None) -> Claim:
        """Admit until the unit can be claimed, and claim it."""
        if self.unit(unit_id).status == "waiting":
            with self.database.begin() as session:
                assert jobs.admit(session, [unit_id]) == [unit_id]
        claim = self.claim(unit_id, by)
        assert claim is not None
        return claim

    def beat(self, claim: Claim, done: int = 0, total: int = 0) -> bool:
        with self.database.begin() as session:
            return leases.heartbeat(session, self.settings, claim, done, total)

    def add_item(self, claim: Claim, *names: str) -> bool:
        with self.database.begin() as session:
            return leases.add_item(session, claim, [stored(claim, name) for name in names])

    def finish(self, claim: Claim, *names: str, facts: Mapping[str, Any] | None = None) -> bool:
        files = [stored(claim, name) for name in names]
        with self.database.begin() as session:
            return jobs.finish(session, self.settings, claim, files, facts or {})

    def fail(self, claim: Claim, code: str = "CS-UORC01-103", *, retryable: bool = True) -> Outcome:
        with self.database.begin() as session:
            return jobs.fail(session, self.settings, claim, code, "it broke", retryable)

    def hand_over(self, claim: Claim) -> bool:
        with self.database.begin() as session:
            return leases.hand_over(session, claim)

    def cancel(self, account_id: str, job_id: str) -> Job:
        with self.database.begin() as session:
            return jobs.cancel(session, account_id, job_id, self.settings)

    def take_back(self, unit_id: str) -> Outcome | None:
        with self.database.begin() as session:
            return leases.take_back(session, self.settings, unit_id)

    def do(self, job_id: str, stage: Stage) -> None:
        """Claim each of the stage's units and finish it at once."""
        with self.database.begin() as session:
            units = select(Unit.id).where(Unit.job_id == job_id, Unit.stage == stage.value)
            ids = session.scalars(units.order_by(Unit.index)).all()
        assert ids, f"{stage} is not there"
        for unit_id in ids:
            self.carry_out(self.take(unit_id))

    def carry_out(self, claim: Claim) -> None:
        """Finish the claim's unit with all that its stage promises."""
        stage = claim.stage
        for span in claim.spans:
            assert self.add_item(claim, *items_of(stage, claim.spec, span))
        files = {"reference": ["character"], "join": ["tracks"], "plate": ["plate"]}
        files["portrait"] = ["thumbnail", "portrait-0000"]
        done = {"stitch": ["output", "mask", "thumbnail"], **files}.get(stage.value, [])
        assert self.finish(claim, *done, facts={"cuts": [250]} if stage is Stage.JOIN else None)

    def do_all(self, job_id: str) -> None:
        for stage in RENDER:
            self.do(job_id, stage)

    def turn_back(
        self, row: type[Unit] | type[Job] | type[WebhookDelivery], row_id: str, column: str, seconds: float
    ) -> None:
        """Make a time of the row ``seconds`` older than now."""
        past = func.now() - text(f"interval '{seconds} seconds'")
        with self.database.begin() as session:
            session.execute(update(row).where(row.id == row_id).values({column: past}))

    def lose(self, claim: Claim) -> None:
        """Its worker is silent for longer than the lease."""
        self.turn_back(Unit, claim.unit_id, "lease_until", 1)


def stored(claim: Claim, name: str) -> StoredFile:
    """A file of the attempt, as the worker reports it."""
    folder = f"out/{claim.job_id}/" if claim.stage in LAST else claim.folder
    return StoredFile(name, f"{folder}{name}", 100, "0" * 64)
