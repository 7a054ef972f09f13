"""A farm with real rows and a real store for the tests of its workers, with whatever draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

from sqlalchemy import select

from pipeline.spec import Model, Plan, RenderSpec, Stage, VideoInfo, plan_for
from renderfarm import jobs, prices
from renderfarm.db import Database
from renderfarm.models import Account, Artifact, Job, Unit, UnitStatus
from renderfarm.settings import Settings
from renderfarm.storage import Storage
from tests.workers.drawings import program
from workers.attempt import Tools
from workers.board import Board
from workers.drawing import Drawing
from workers.folder import WorkerFolder
from workers.process import identity
from workers.runner import Outcome, Runner

#: Two pieces; the drawing's one cut makes three segments.
VIDEO = VideoInfo(320, 180, Fraction(30), 40, has_sound=True, codec="h264")
PLAN = replace(plan_for(Model.V4), piece_frames=20, segment_frames=20)
CREDITS = 7


@dataclass
class Farm:
    """Submits jobs, admits units and runs them, each step when the test says so."""

    settings: Settings
    database: Database
    store: Storage
    account_id: str

    def submit(self, spec: RenderSpec | None = None, plan: Plan = PLAN, mode: str = "full_pipeline") -> str:
        """A new job of which everything waits; the id."""
        inputs = {name: f"in/{self.account_id}/{name}" for name in ("picture", "video")}
        for key in inputs.values():
            with self.store.writer(key) as out:
                out.write(b"as uploaded")
                out.commit()
        new = jobs.NewJob(
            spec=spec or RenderSpec(),
            plan=plan,
            video=VIDEO,
            inputs=inputs,
            mode=mode,
            credits=CREDITS * prices.least(mode),
        )
        with self.database.begin() as session:
            return jobs.submit(session, self.settings, self.account_id, new).id

    def admit(self, job_id: str) -> list[str]:
        """Admit all that waits, whatever its backoff; the units that are to be had now."""
        with self.database.begin() as session:
            ids = session.scalars(select(Unit.id).where(Unit.job_id == job_id, Unit.status == "waiting"))
            jobs.admit(session, ids.all())
            ready = select(Unit.id).where(Unit.job_id == job_id, Unit.status == UnitStatus.ADMITTED)
            return list(session.scalars(ready.order_by(Unit.id)))

    def advance(self, job_id: str, stage: Stage) -> str:
        """Run the job up to the stage; the stage's unit, admitted."""
        while True:
            ready = self.admit(job_id)
            unit_id = f"{job_id}:{stage}:0"
            if unit_id in ready and set(ready) == {unit_id}:
                return unit_id
            assert ready, f"{stage} is never reached"
            for other in set(ready) - {unit_id}:
                assert self.run(other) is Outcome.DONE

    def finish(self, job_id: str) -> None:
        """Run whatever is left of the job."""
        while ready := self.admit(job_id):
            for unit_id in ready:
                assert self.run(unit_id) is Outcome.DONE

    def run(self, unit_id: str, drawing: str = "draws", board: Board | None = None) -> Outcome:
        """Run one unit in a worker of its queue that has just started."""
        with self.runner(drawing, self.unit(unit_id).queue, board) as runner:
            return runner.run(unit_id)

    @contextmanager
    def runner(
        self, drawing: str = "draws", queue: str = "v4", board: Board | None = None
    ) -> Iterator[Runner]:
        """A worker's runner, with one of the small programs in the place of the pipeline."""
        board = board or Board()
        folder = WorkerFolder.open(self.settings.work_dir, queue)
        tools = Tools(
            settings=self.settings,
            database=self.database,
            storage=self.store,
            drawing=Drawing(program(drawing)),
            draining=lambda: board.draining,
        )
        runner = Runner(identity(self.settings, queue, folder.name), folder, board, tools)
        try:
            yield runner
        finally:
            runner.close()
            left = [path.name for path in folder.path.iterdir() if path.name not in {"lock", "metrics"}]
            folder.close()
            assert not left, "an attempt left its files behind"

    def job(self, job_id: str) -> Job:
        with self.database.begin() as session:
            return session.get_one(Job, job_id)

    def unit(self, unit_id: str) -> Unit:
        with self.database.begin() as session:
            return session.get_one(Unit, unit_id)

    def artifacts(self, job_id: str) -> dict[str, Artifact]:
        with self.database.begin() as session:
            rows = session.scalars(select(Artifact).where(Artifact.job_id == job_id))
            return {row.name: row for row in rows}

    def balance(self) -> tuple[int, int]:
        """Credits that are available, and held."""
        with self.database.begin() as session:
            account = session.get_one(Account, self.account_id)
            return account.available, account.held
