"""Fast jobs: many units of one job at once, for twice the price, and only where there is room."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from pipeline.spec import RENDER, Model, Stage
from renderfarm.errors import FarmError
from renderfarm.jobs import FAST
from renderfarm.models import Artifact, Job, JobStatus, Settlement, Unit
from tests.renderfarm.farm import Farm, worker


@pytest.fixture
def pool(farm: Farm) -> Farm:
    """A farm with four idle workers of v4, and one that stitches."""
    farm.report(*(worker(f"w{number}") for number in range(4)), worker("stitcher", "cpu"))
    return farm


def units_of(farm: Farm, job_id: str, stage: Stage) -> list[str]:
    with farm.database.begin() as session:
        query = select(Unit.id).where(Unit.job_id == job_id, Unit.stage == stage.value)
        return list(session.scalars(query.order_by(Unit.index)))


def settlement(farm: Farm, job_id: str) -> tuple[int, int]:
    with farm.database.begin() as session:
        row = session.get_one(Settlement, job_id)
        return row.captured, row.returned


def test_each_piece_and_each_segment_is_a_unit_and_all_else_is_one(pool: Farm) -> None:
    account = pool.account()
    fast, normal = pool.submit(account, mode=FAST), pool.submit(account)
    for job_id in (fast, normal):
        pool.do_all(job_id)
        assert pool.job(job_id).status == JobStatus.COMPLETE
    plan = pool.job(fast).plan
    assert plan == pool.job(normal).plan, "fast mode changes the schedule, never the plan"
    pieces = -(-600 // plan["piece_frames"])
    assert len(units_of(pool, fast, Stage.ANALYSE)) == pieces > 1
    assert len(units_of(pool, fast, Stage.SEGMENT)) > 1
    for stage in (Stage.REFERENCE, Stage.JOIN, Stage.STITCH):
        assert units_of(pool, fast, stage) == [f"{fast}:{stage.value}:0"]
    for stage in RENDER:
        assert units_of(pool, normal, stage) == [f"{normal}:{stage.value}:0"]
    assert pool.artifacts(fast) == pool.artifacts(normal)


def test_a_units_claim_holds_its_own_span_and_its_progress_is_the_jobs(pool: Farm) -> None:
    job_id = pool.submit(pool.account(), mode=FAST)
    first, second, *_ = units_of(pool, job_id, Stage.ANALYSE)
    pool.do(job_id, Stage.REFERENCE)
    claim = pool.take(second, worker("w1"))
    assert [span.index for span in claim.spans] == [1]
    assert claim.total == len(claim.spans[0])
    pool.carry_out(claim)
    assert pool.unit(first).status == "waiting"
    shown = pool.progress(job_id)
    assert (shown.done, shown.total) == (claim.total, 600)


def test_a_unit_that_was_recorded_but_not_ended_has_nothing_left_to_do(pool: Farm) -> None:
    job_id = pool.submit(pool.account(), mode=FAST)
    unit_id = units_of(pool, job_id, Stage.ANALYSE)[1]
    claim = pool.take(unit_id)
    assert pool.add_item(claim, "piece-0001", "matte-0001")
    pool.lose(claim)
    pool.take_back(unit_id)
    assert pool.take(unit_id).spans == ()


def test_a_fast_job_that_ran_on_two_workers_costs_what_it_holds(pool: Farm) -> None:
    account = pool.account(credit=100)
    job_id = pool.submit(account, mode=FAST, price=40)
    first, second, *_ = units_of(pool, job_id, Stage.ANALYSE)
    held = pool.take(first, worker("w1"))
    pool.carry_out(pool.take(second, worker("w2")))
    pool.carry_out(held)
    for stage in RENDER:
        for unit_id in units_of(pool, job_id, stage):
            if pool.unit(unit_id).status != "done":
                pool.carry_out(pool.take(unit_id))
    assert settlement(pool, job_id) == (40, 0)
    assert pool.money(account) == (60, 0)
    assert pool.mismatches() == 0


def test_a_fast_job_that_never_ran_on_two_workers_costs_the_normal_price(pool: Farm) -> None:
    account = pool.account(credit=100)
    job_id = pool.submit(account, mode=FAST, price=40)
    beside = pool.take(f"{job_id}:reference:0", worker("w1"))  # beside the analysis, as in any job
    pool.carry_out(pool.take(units_of(pool, job_id, Stage.ANALYSE)[0], worker("w2")))
    assert not pool.job(job_id).ran_wide
    pool.hand_over(beside)
    for stage in RENDER:
        for unit_id in units_of(pool, job_id, stage):
            if pool.unit(unit_id).status != "done":
                pool.carry_out(pool.take(unit_id))
    assert settlement(pool, job_id) == (20, 20)
    assert pool.money(account) == (80, 0)
    assert pool.mismatches() == 0


def test_it_is_refused_without_two_workers_that_nobody_else_is_about_to_need(farm: Farm) -> None:
    account = farm.account(credit=1000)
    with pytest.raises(FarmError, match="CS-UORC01-001"):
        farm.submit(account, mode=FAST)
    farm.report(worker("w1"), worker("w2"), worker("other", "v3"))
    first = farm.submit(account)  # its two units are about to be admitted
    with pytest.raises(FarmError, match="CS-UORC01-001"):
        farm.submit(account, mode=FAST)
    farm.report(worker("w3"))
    with pytest.raises(FarmError, match="CS-UORC01-001"):
        farm.submit(account, mode=FAST)
    farm.report(worker("w4"))
    farm.submit(account, mode=FAST)
    with pytest.raises(FarmError, match="CS-UORC01-001"):
        farm.submit(account, model=Model.V3, mode=FAST)
    farm.cancel(account, first)
    assert farm.mismatches() == 0
    with farm.database.begin() as session:
        assert session.execute(select(func.count()).select_from(Job)).scalar_one() == 2


def test_while_others_wait_fast_units_take_their_share_and_no_more(farm: Farm) -> None:
    farm.report(*(worker(f"w{number}") for number in range(8)))
    keen = farm.account(credit=1000)
    fast = farm.submit(keen, mode=FAST)
    for unit_id in units_of(farm, fast, Stage.ANALYSE):
        farm.carry_out(farm.take(unit_id))
    for stage in (Stage.REFERENCE, Stage.JOIN):
        farm.do(fast, stage)
    while not units_of(farm, fast, Stage.SEGMENT):
        ready = [unit_id for unit_id in farm.admit() if unit_id.startswith(fast)]
        for unit_id in ready:
            farm.carry_out(farm.take(unit_id))
    others = [farm.submit(farm.account()) for _ in range(9)]
    admitted = farm.admit()
    mine = [unit_id for unit_id in admitted if unit_id.startswith(fast)]
    segments = len(units_of(farm, fast, Stage.SEGMENT))
    assert len(admitted) == 10
    assert len(mine) == min(4, segments)
    assert admitted[: len(mine)] == mine, "their share comes first"
    assert len({unit_id.split(":")[0] for unit_id in admitted} & set(others)) == 10 - len(mine)


def test_a_fast_job_takes_the_whole_pool_when_nobody_else_wants_it(pool: Farm) -> None:
    job_id = pool.submit(pool.account(), mode=FAST)
    admitted = pool.admit()
    waiting = len(units_of(pool, job_id, Stage.ANALYSE)) + 1
    assert len(admitted) == min(6, waiting)


def test_one_unit_that_fails_for_good_ends_the_job_and_all_that_ran_beside_it(pool: Farm) -> None:
    account = pool.account(credit=100)
    job_id = pool.submit(account, mode=FAST, price=40)
    first, second, *_ = units_of(pool, job_id, Stage.ANALYSE)
    beside, broken = pool.take(first, worker("w1")), pool.take(second, worker("w2"))
    pool.fail(broken, "CS-UORC01-101", retryable=False)
    assert pool.job(job_id).status == JobStatus.FAILED
    assert not pool.add_item(beside, "piece-0000", "matte-0000")
    assert pool.money(account) == (100, 0)
    with pool.database.begin() as session:
        assert session.scalars(select(Artifact)).all() == []
