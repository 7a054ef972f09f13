"""Two who want the same row at the same time: one of them gets it, and the money knows which."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from pipeline.spec import RENDER, Stage
from renderfarm.errors import FarmError
from renderfarm.models import Settlement, Unit
from tests.renderfarm.farm import Farm


def at_once(*actions: Callable[[], object]) -> list[object]:
    """Start all actions together; what each returned or raised."""
    gate = threading.Barrier(len(actions))

    def run(action: Callable[[], object]) -> object:
        gate.wait()
        try:
            return action()
        except FarmError as error:
            return error.code

    with ThreadPoolExecutor(len(actions)) as pool:
        return [future.result() for future in [pool.submit(run, action) for action in actions]]


def test_cancel_against_the_last_finish_settles_once(farm: Farm) -> None:
    account = farm.account(credit=1000)
    spent = 0
    for _ in range(12):
        job = farm.submit(account, price=20)
        for stage in RENDER[:-1]:
            farm.do(job, stage)
        claim = farm.take(f"{job}:stitch:0")
        cancelled, finished = at_once(
            lambda job=job: farm.cancel(account, job).status,
            lambda claim=claim: farm.finish(claim, "output", "thumbnail"),
        )
        assert (cancelled, finished) in [("cancelled", False), ("CS-UORC01-112", True)]
        spent += 20 * bool(finished)
        status = farm.job(job).status
        assert status == ("complete" if finished else "cancelled")
        assert bool(farm.job(job).outputs) == finished
        with farm.database.begin() as session:
            settlement = session.get_one(Settlement, job)
            assert (settlement.captured, settlement.returned) == ((20, 0) if finished else (0, 20))
    assert farm.money(account) == (1000 - spent, 0)
    assert farm.mismatches() == 0


def test_cancel_against_a_claim_leaves_nothing_running(farm: Farm) -> None:
    account = farm.account(credit=1000)
    for _ in range(12):
        job = farm.submit(account)
        unit_id = f"{job}:analyse:0"
        farm.admit()
        at_once(lambda job=job: farm.cancel(account, job), lambda unit_id=unit_id: farm.claim(unit_id))
        assert set(farm.units(job).values()) == {"cancelled"}
    assert farm.money(account) == (1000, 0)


def test_the_last_two_units_of_what_a_stage_needs_make_it_once(farm: Farm) -> None:
    for _ in range(8):
        job = farm.submit(farm.account())
        farm.do(job, Stage.ANALYSE)
        farm.do(job, Stage.JOIN)
        farm.do(job, Stage.SAMPLE)
        plate, reference = farm.take(f"{job}:plate:0"), farm.take(f"{job}:reference:0")
        assert at_once(
            lambda claim=plate: farm.finish(claim, "plate"),
            lambda claim=reference: farm.finish(claim, "character"),
        ) == [True, True]
        with farm.database.begin() as session:
            made = session.scalars(select(Unit).where(Unit.job_id == job, Unit.stage == "segment")).all()
            assert [unit.status for unit in made] == ["waiting"]
        assert farm.job(job).checkpoint == "bg_done"


def test_many_submits_at_once_spend_no_credit_twice(farm: Farm) -> None:
    account = farm.account(credit=65)
    results = at_once(*[lambda: farm.submit(account, price=20)] * 5)
    assert results.count("CS-ORCR-001") == 2
    assert farm.money(account) == (5, 60)
    assert farm.mismatches() == 0


def test_take_back_against_finish_does_one_of_them(farm: Farm) -> None:
    for _ in range(8):
        job = farm.submit(farm.account())
        claim = farm.take(f"{job}:reference:0")
        farm.lose(claim)
        taken, finished = at_once(
            lambda claim=claim: farm.take_back(claim.unit_id),
            lambda claim=claim: farm.finish(claim, "character"),
        )
        assert (taken is None) == finished
        assert farm.unit(claim.unit_id).status == ("done" if finished else "waiting")
        assert ("character" in farm.artifacts(job)) == finished
