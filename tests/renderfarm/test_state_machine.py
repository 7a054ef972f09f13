"""Anything may happen to the farm in any order; what it promises must hold after each step.

Hypothesis plays the users, the workers, the dispatcher and the clock against a real database, and
keeps beside it the little that a user could reckon: what was granted, and which jobs were paid for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from pipeline.spec import NEEDS, Plan, Stage
from pipeline.units import items_of
from renderfarm import credits, jobs, line, places, views
from renderfarm.claims import Claim
from renderfarm.errors import FarmError
from renderfarm.jobs import FAST
from renderfarm.models import FINAL, Account, Base, Job, JobStatus, Settlement, Unit, UnitStatus
from renderfarm.replan import replan
from tests.renderfarm.farm import ENGINES, Farm, worker

_GRANTED = 50
_FILES = {
    "reference": ["character"],
    "join": ["tracks"],
    "plate": ["plate"],
    "stitch": ["output", "thumbnail"],
}


class FarmMachine(RuleBasedStateMachine):
    """Two accounts, three workers, and every way in which an attempt can go."""

    farm: Farm

    open_claims = Bundle("open_claims")
    late_claims = Bundle("late_claims")

    @initialize()
    def empty_farm(self) -> None:
        with self.farm.database.begin() as session:
            tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
            session.execute(text("SET LOCAL session_replication_role = replica"))  # the audit log lets nobody
            session.execute(text(f"TRUNCATE {tables}"))
        self.accounts = [self.farm.account(f"account-{name}", _GRANTED) for name in "ab"]
        self.farm.report(worker("v4-1"), worker("v4-2"), worker("cpu-1", "cpu"))
        self.ended: dict[str, str] = {}
        self.shown: dict[str, int] = {}

    @rule(
        account=strategies.integers(0, 1),
        price=strategies.sampled_from([4, 20]),
        mode=strategies.sampled_from(["full_pipeline", FAST]),
    )
    def submit(self, account: int, price: int, mode: str) -> None:
        available, _ = self.farm.money(self.accounts[account])
        try:
            self.farm.submit(self.accounts[account], price=price, mode=mode)
            assert available >= price
        except FarmError as error:
            if error.code == "CS-UORC01-001":
                assert mode == FAST
            else:
                assert (error.code, available < price) == ("CS-ORCR-001", True)

    @rule(account=strategies.integers(0, 1))
    def render_undisturbed(self, account: int) -> None:
        if self.farm.money(self.accounts[account])[0] >= 4:
            job_id = self.farm.submit(self.accounts[account], price=4)
            self.farm.do_all(job_id)
            assert self.farm.job(job_id).status == JobStatus.COMPLETE

    @rule(target=open_claims, place=strategies.integers(0, 5))
    def work_on_something(self, place: int) -> Claim | None:
        """The dispatcher admits, and a worker takes one of the messages."""
        self.farm.admit()
        with self.farm.database.begin() as session:
            admitted = session.scalars(
                select(Unit.id).where(Unit.status == UnitStatus.ADMITTED).order_by(Unit.admitted_at)
            ).all()
        if not admitted:
            return None
        unit_id = admitted[place % len(admitted)]
        queue = self.farm.unit(unit_id).queue
        assert (
            queue == "cpu"
            or self.farm.claim(unit_id, worker("wrong", queue, engines=[ENGINES["v3"]])) is None
        )
        return self.farm.claim(unit_id)

    @rule(claim=open_claims, done=strategies.integers(0, 700))
    def make_progress(self, claim: Claim | None, done: int) -> None:
        if claim is not None:
            assert self.farm.beat(claim, done, 600) == self.is_current(claim)

    @rule(claim=open_claims)
    def finish_a_span(self, claim: Claim | None) -> None:
        if claim is not None and claim.spans:
            files = items_of(claim.stage, claim.spec, claim.spans[0])
            current = self.is_current(claim)
            assert self.farm.add_item(claim, *files) == current

    @rule(target=late_claims, claim=consumes(open_claims))
    def finish(self, claim: Claim | None) -> Claim | None:
        return self.end(claim, lambda claim: self.farm.finish(claim, *_FILES.get(claim.stage.value, [])))

    @rule(target=late_claims, claim=consumes(open_claims), retryable=strategies.booleans())
    def fail(self, claim: Claim | None, retryable: bool) -> Claim | None:
        return self.end(
            claim, lambda claim: self.farm.fail(claim, retryable=retryable) is not jobs.Outcome.STALE
        )

    @rule(target=late_claims, claim=consumes(open_claims))
    def hand_over(self, claim: Claim | None) -> Claim | None:
        return self.end(claim, self.farm.hand_over)

    @rule(target=late_claims, claim=consumes(open_claims))
    def lose_the_worker(self, claim: Claim | None) -> Claim | None:
        def lose(claim: Claim) -> bool:
            if not self.is_current(claim):
                return False
            self.farm.lose(claim)
            return self.farm.take_back(claim.unit_id) is not None

        return self.end(claim, lose)

    @rule(claim=late_claims)
    def come_back_from_the_dead(self, claim: Claim | None) -> None:
        """Whatever a worker whose attempt is over still says changes nothing."""
        if claim is None:
            return
        before = self.everything()
        assert not self.farm.beat(claim, 599, 600)
        assert not self.farm.add_item(claim, "piece-0000", "matte-0000")
        assert not self.farm.finish(claim, "output")
        assert not self.farm.hand_over(claim)
        assert self.farm.fail(claim) is jobs.Outcome.STALE
        assert self.everything() == before

    @rule(place=strategies.integers(0, 9))
    def cancel(self, place: int) -> None:
        with self.farm.database.begin() as session:
            rows = session.execute(select(Job.id, Job.account_id, Job.status).order_by(Job.created_at)).all()
        if rows:
            job_id, account_id, status = rows[place % len(rows)]
            try:
                self.farm.cancel(account_id, job_id)
                assert status not in FINAL
            except FarmError as error:
                assert (error.code, status in FINAL) == ("CS-UORC01-112", True)

    @rule(place=strategies.integers(0, 9))
    def plan_anew(self, place: int) -> None:
        """The versions of a job are gone. Its pins stay here, so that the same workers take it."""
        with self.farm.database.begin() as session:
            found = session.scalars(select(Job).order_by(Job.created_at)).all()
        if found:
            job = found[place % len(found)]
            plan = Plan.from_json(job.plan)
            with self.farm.database.begin() as session:
                changed = replan(session, job.id, replace(plan, warmup_frames=plan.warmup_frames + 1))
            assert changed == (job.status not in FINAL)
            if changed:
                self.shown[job.id] = 0
                assert self.farm.artifacts(job.id) == set()

    @rule()
    def let_the_backoff_pass(self) -> None:
        with self.farm.database.begin() as session:
            session.query(Unit).update({"not_before": func.now()})

    @rule(place=strategies.integers(0, 9))
    def reach_a_deadline(self, place: int) -> None:
        with self.farm.database.begin() as session:
            ids = session.scalars(
                select(Job.id).where(Job.status.not_in(FINAL)).order_by(Job.created_at)
            ).all()
        if ids:
            job_id = ids[place % len(ids)]
            queued = self.farm.job(job_id).status == JobStatus.QUEUED
            self.farm.turn_back(Job, job_id, "queue_deadline" if queued else "run_deadline", 1)
            with self.farm.database.begin() as session:
                assert jobs.time_out(session, self.farm.settings, job_id)

    @invariant()
    def every_promise_holds(self) -> None:
        with self.farm.database.begin() as session:
            jobs_now = session.scalars(select(Job).order_by(Job.id)).all()
            units: dict[str, dict[Stage, set[str]]] = {job.id: defaultdict(set) for job in jobs_now}
            for job_id, stage, status in session.execute(select(Unit.job_id, Unit.stage, Unit.status)):
                units[job_id][Stage(stage)].add(status)
            assert line.mend(session) == 0, "whoever waits has a place in the line"
            assert credits.mismatches(session) == 0
            self.no_credit_is_lost_or_made(session, jobs_now)
            self.queue_positions_are_a_line(session, jobs_now)
            settlements = {row.job_id: row for row in session.scalars(select(Settlement))}
            shown = {job.id: job for job in views.view_all(self.farm.database, list(units))}
            for job in jobs_now:
                self.stages_come_after_what_they_need(units[job.id])
                self.it_ends_once_and_settles_once(job, units[job.id], settlements.get(job.id))
                pct = shown[job.id].progress.pct
                assert self.shown.get(job.id, 0) <= pct <= 100
                self.shown[job.id] = pct

    def no_credit_is_lost_or_made(self, session: Session, jobs_now: Sequence[Job]) -> None:
        for account in session.scalars(select(Account)):
            mine = [job for job in jobs_now if job.account_id == account.id]
            spent = sum(cost(job) for job in mine if job.status == JobStatus.COMPLETE)
            held = sum(job.credits for job in mine if job.status not in FINAL)
            assert (account.available, account.held) == (_GRANTED - spent - held, held)

    def queue_positions_are_a_line(self, session: Session, jobs_now: Sequence[Job]) -> None:
        for fast in (True, False):
            mine = [job for job in jobs_now if (job.mode == FAST) is fast]
            standing = (places.queue_position(session, job) for job in mine)
            in_line = sorted(place for place in standing if place is not None)
            assert in_line == list(range(1, 1 + sum(job.status == JobStatus.QUEUED for job in mine)))

    def stages_come_after_what_they_need(self, units: dict[Stage, set[str]]) -> None:
        for stage, states in units.items():
            if states != {UnitStatus.CANCELLED}:
                needed = [need for need in NEEDS[stage] if need is not Stage.FETCH]  # all of it is there
                assert all(units[need] - {UnitStatus.CANCELLED} == {UnitStatus.DONE} for need in needed)

    def it_ends_once_and_settles_once(
        self, job: Job, units: dict[Stage, set[str]], settlement: Settlement | None
    ) -> None:
        over, complete = job.status in FINAL, job.status == JobStatus.COMPLETE
        assert self.ended.setdefault(job.id, job.status) == job.status if over else job.id not in self.ended
        assert over == (settlement is not None) == (job.completed_at is not None)
        assert over == all(states <= {"done", "failed", "cancelled"} for states in units.values())
        assert bool(job.outputs) == complete
        if settlement is not None:
            expected = (cost(job), job.credits - cost(job)) if complete else (0, job.credits)
            assert (settlement.captured, settlement.returned) == expected

    def is_current(self, claim: Claim) -> bool:
        unit = self.farm.unit(claim.unit_id)
        return unit.status == UnitStatus.RUNNING and unit.attempt == claim.attempt

    def end(self, claim: Claim | None, how: Callable[[Claim], bool]) -> Claim | None:
        """An attempt ends in this way, unless it had ended before; it is late from here on."""
        if claim is None:
            return None
        current = self.is_current(claim)
        assert how(claim) == current
        assert not self.is_current(claim)
        return claim

    def everything(self) -> list[object]:
        """Every row of the tables that a worker's word may change."""
        tables = ("jobs", "units", "artifacts", "attempts", "accounts", "ledger_entries", "settlements")
        with self.farm.database.begin() as session:
            return [
                session.execute(text(f"SELECT to_jsonb(t) FROM {table} t ORDER BY 1")).all()
                for table in tables
            ]


def cost(job: Job) -> int:
    """What the job costs when it is complete."""
    return job.credits if job.mode != FAST or job.ran_wide else job.credits // 2


@contextmanager
def playing_on(farm: Farm) -> Iterator[type[FarmMachine]]:
    FarmMachine.farm = farm
    yield FarmMachine
    del FarmMachine.farm


def test_the_farm_keeps_its_promises_in_any_order_of_events(farm: Farm) -> None:
    with playing_on(farm.with_settings(max_attempts=3)) as machine:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=6,
                stateful_step_count=25,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
