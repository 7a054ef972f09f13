"""Two who want the same row at the same time: one of them gets it, and the money knows which."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sqlalchemy import select, text

from pipeline.spec import RENDER, Model, RenderSpec, Stage, plan_for
from renderfarm import assets, jobs
from renderfarm.errors import FarmError
from renderfarm.jobs import NewJob
from renderfarm.models import Account, Settlement, Unit
from tests.renderfarm.farm import VIDEO, Farm
from tests.renderfarm.test_assets import prepare
from tests.waiting import until


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


def test_imports_of_one_template_do_not_wait_for_each_other(farm: Farm) -> None:
    scene = prepare(farm, farm.account())
    with farm.database.begin() as session:
        template = assets.publish(session, farm.settings, scene.id, "street").id

    def take(account: str) -> str:
        with farm.database.begin() as session:
            return assets.import_template(session, farm.settings, account, template, "mine").id

    others = [farm.account(credit=0) for _ in range(4)]
    for _ in range(4):
        taken = at_once(*(partial(take, other) for other in others))
        assert len(set(taken)) == 4


def test_orders_of_an_imported_scene_do_not_wait_for_one_that_ends(farm: Farm) -> None:
    """The files' owner is locked before the account by all of them."""
    scene, account = prepare(farm, farm.account()), farm.account(credit=1000)
    with farm.database.begin() as session:
        template = assets.publish(session, farm.settings, scene.id, "street").id
    with farm.database.begin() as session:
        mine = assets.import_template(session, farm.settings, account, template, "mine").id
    new = NewJob(
        spec=RenderSpec(),
        plan=plan_for(Model.V4),
        video=VIDEO,
        inputs={"picture": "in/a/picture", "video": "in/scene/video"},
        mode="full_pipeline",
        credits=2,
        assets=[mine],
    )

    def order() -> str:
        return jobs.submit_at_once(farm.database, farm.settings, account, new).id

    for _ in range(12):
        ends = order()
        _, *taken = at_once(lambda ends=ends: farm.cancel(account, ends), order, order, order)
        for job_id in taken:
            farm.cancel(account, str(job_id))
    assert farm.money(account) == (1000, 0)


def test_orders_that_wait_for_their_account_leave_the_others_their_keys(farm: Farm) -> None:
    account = farm.account()
    new = NewJob(spec=RenderSpec(), plan=plan_for(Model.V4), video=VIDEO, mode="full_pipeline", credits=1)
    order = partial(jobs.submit_at_once, farm.database, farm.settings, account, new)
    with ThreadPoolExecutor(16) as pool:
        with farm.database.begin() as session:
            session.get_one(Account, account, with_for_update=True)
            waiting = [pool.submit(order) for _ in range(16)]
            until(lambda: _waiting(farm) >= 4)
            assert farm.database.read("SELECT 1 AS one", []) == [{"one": 1}]
        assert len({each.result().id for each in waiting}) == 16


def _waiting(farm: Farm) -> int:
    """How many of the server's processes wait for a lock."""
    query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with farm.database.begin() as session:  # whose look is as old as itself
        return session.execute(query).scalar_one()


def test_an_order_over_a_connection_that_has_died_is_taken(farm: Farm) -> None:
    new = NewJob(spec=RenderSpec(), plan=plan_for(Model.V4), video=VIDEO, mode="full_pipeline", credits=1)
    account = farm.account()
    with farm.database.at_once() as connection:
        process = connection.info.backend_pid
    with farm.database.begin() as session:
        session.execute(text("SELECT pg_terminate_backend(:process)"), {"process": process})
    until(lambda: not _is_there(farm, process))
    assert jobs.submit_at_once(farm.database, farm.settings, account, new).id
    assert farm.money(account) == (99, 1)


def _is_there(farm: Farm, process: int) -> bool:
    with farm.database.begin() as session:
        query = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :process")
        return bool(session.scalar(query, {"process": process}))
