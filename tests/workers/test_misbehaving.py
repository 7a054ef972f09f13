"""Engines of a few lines that hang, exit, raise, eat memory, draw too little, too much or nonsense.

Hypothesis picks who draws what, in fast jobs and in others, and who cancels; whatever they do, each job
ends once, is settled once, and shows the bytes of a job in which everybody behaved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from renderfarm import credits, jobs, pools
from renderfarm.errors import FarmError
from renderfarm.models import FINAL, Artifact, Job, JobStatus, Settlement, Unit, UnitStatus
from tests.workers.farm import Farm
from workers.process import identity
from workers.runner import Outcome

UNRULY = ("exits", "raises", "eats_memory", "babbles", "hangs", "empty_handed", "no_cuts")
#: These misbehave with spans only, and are not asked for what has none.
UNRULY_WITH_SPANS = ("short", "long", "repeats")
#: What a job's files hold, by name, when everybody behaves.
Truth = dict[str, str]


class Studio(RuleBasedStateMachine):
    """One account, idle workers enough for fast jobs, and engines of all manners."""

    farm: Farm
    truth: Truth

    @initialize()
    def open(self) -> None:
        with self.farm.database.begin() as session:
            for number in range(6):
                pools.report_worker(session, identity(self.farm.settings, "v4", f"idle-{number}"), None)
        self.ids: list[str] = []
        self.money = self.farm.balance()

    @rule(mode=strategies.sampled_from(["full_pipeline", jobs.FAST]))
    def submit(self, mode: str) -> None:
        try:
            self.ids.append(self.farm.submit(mode=mode))
        except FarmError as refused:
            assert refused.code in {"CS-UORC01-001", "CS-ORCR-001"}

    @rule(place=strategies.integers(0, 9), drawing=strategies.sampled_from(("draws", "draws", *UNRULY)))
    def draw(self, place: int, drawing: str) -> None:
        self._draw(place, drawing)

    @rule(place=strategies.integers(0, 9), drawing=strategies.sampled_from(UNRULY_WITH_SPANS))
    def draw_spans(self, place: int, drawing: str) -> None:
        self._draw(place, drawing, spans=True)

    @rule(place=strategies.integers(0, 9))
    def cancel(self, place: int) -> None:
        if self.ids:
            job_id = self.ids[place % len(self.ids)]
            ended = self.farm.job(job_id).status in FINAL
            try:
                with self.farm.database.begin() as session:
                    jobs.cancel(session, self.farm.account_id, job_id, self.farm.settings)
                assert not ended
            except FarmError as refused:
                assert (refused.code, ended) == ("CS-UORC01-112", True)

    @invariant()
    def nothing_is_lost(self) -> None:
        with self.farm.database.begin() as session:
            assert credits.mismatches(session) == 0
            settled = set(session.scalars(select(Settlement.job_id)))
            ended = set(session.scalars(select(Job.id).where(Job.status.in_(FINAL))))
            assert settled == ended
            running = select(Unit.id).where(Unit.status == UnitStatus.RUNNING)
            assert session.scalars(running).all() == []
            for file in session.scalars(select(Artifact)):
                assert file.sha256 == self.truth[file.name], f"{file.name} is not what it should be"

    def teardown(self) -> None:
        """Everybody behaves again: what has not ended finishes."""
        for job_id in getattr(self, "ids", ()):
            if self.farm.job(job_id).status not in FINAL:
                self.farm.finish(job_id)
                assert self.farm.job(job_id).status == JobStatus.COMPLETE
            if self.farm.job(job_id).status == JobStatus.COMPLETE:
                assert {"output", "thumbnail"} <= self.farm.artifacts(job_id).keys()

    def _draw(self, place: int, drawing: str, *, spans: bool = False) -> None:
        """One of the units that are to be had, by a worker that has just started."""
        ready = [unit_id for job_id in self.ids for unit_id in self.farm.admit(job_id)]
        if spans:
            ready = [unit_id for unit_id in ready if ":analyse:" in unit_id or ":segment:" in unit_id]
        if not ready:
            return
        unit_id = ready[place % len(ready)]
        before = self.farm.unit(unit_id)
        outcome = self.farm.run(unit_id, drawing)
        if drawing == "draws":
            assert outcome is Outcome.DONE
        elif outcome is Outcome.FAILED:
            assert before.failures + 1 >= self.farm.settings.max_attempts or before.lost
            assert self.farm.job(before.job_id).error_code in {"CS-UORC01-103", "CS-UORC01-107"}
        else:
            assert outcome in {Outcome.RETRY, Outcome.DONE}  # some behave where there is nothing to spoil


@contextmanager
def playing_on(farm: Farm, truth: Truth) -> Iterator[type[Studio]]:
    Studio.farm, Studio.truth = farm, truth
    yield Studio
    del Studio.farm, Studio.truth


def test_whatever_engines_do_each_job_ends_once_with_the_right_bytes(farm: Farm) -> None:
    farm.settings = replace(farm.settings, stall_seconds=0.5, setup_seconds=20.0, max_attempts=3)
    with farm.database.begin() as session:
        credits.grant(session, farm.account_id, 10_000)
    model = farm.submit()
    farm.finish(model)
    truth = {name: file.sha256 for name, file in farm.artifacts(model).items()}
    with playing_on(farm, truth) as machine:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=4,
                stateful_step_count=12,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
