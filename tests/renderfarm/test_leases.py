"""Leases: who gets a unit, for how long, and what becomes of it when the worker does not come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.spec import RENDER, Background, Model, Stage
from renderfarm import leases, pools
from renderfarm.claims import WorkerIdentity
from renderfarm.jobs import Outcome
from renderfarm.models import Unit, Worker
from renderfarm.pools import live_pools
from tests.renderfarm.farm import ENGINES, VERSIONS, VIDEO, Farm, pins, worker


@pytest.fixture
def job(farm: Farm) -> str:
    return farm.submit(farm.account())


def test_a_claim_carries_all_that_the_work_needs(farm: Farm, job: str) -> None:
    claim = farm.take(f"{job}:analyse:0", worker("w1"))
    assert (claim.stage, claim.attempt, claim.job_id) == (Stage.ANALYSE, 1, job)
    assert claim.video == VIDEO
    assert claim.inputs == {"picture": "in/a/picture", "video": "in/a/video"}
    assert claim.spans == claim.plan.pieces(600)
    assert (claim.total, claim.finished) == (600, 0)
    assert claim.folder == f"work/{job}/analyse-0/1/"
    assert (farm.job(job).status, farm.unit(claim.unit_id).worker) == ("processing", "w1")


@pytest.mark.parametrize(
    "stranger",
    [
        worker("of-another-model", "v3"),
        worker("of-another-queue", "cpu"),
        worker("with-another-engine", engines=["puppet_v4/new"]),
        worker("with-another-perception", perception="new"),
        worker("with-another-plan", plan="new"),
        WorkerIdentity("that-says-nothing", "v4", {}),
        # It advertises the right engine, and yet it serves another model's queue.
        worker("that-has-the-engine", "v3", engines=[ENGINES["v4"]]),
    ],
    ids=lambda stranger: stranger.name,
)
def test_a_worker_refuses_what_it_cannot_run_and_leaves_it_for_the_right_one(
    farm: Farm, job: str, stranger: WorkerIdentity
) -> None:
    unit_id = f"{job}:analyse:0"
    assert unit_id in farm.admit()
    assert farm.claim(unit_id, stranger) is None
    assert (farm.unit(unit_id).status, farm.unit(unit_id).attempt) == ("admitted", 0)
    assert farm.claim(unit_id, worker("right")) is not None


def test_stitching_asks_for_no_engine(farm: Farm, job: str) -> None:
    for stage in RENDER[:-1]:
        farm.do(job, stage)
    assert farm.take(f"{job}:stitch:0", WorkerIdentity("cpu-1", "cpu", VERSIONS))


def test_only_an_admitted_unit_can_be_claimed(farm: Farm, job: str) -> None:
    unit_id = f"{job}:analyse:0"
    assert farm.claim(unit_id) is None  # waiting: a message of an earlier attempt
    claim = farm.take(unit_id)
    assert farm.claim(unit_id) is None  # running: the message came twice
    for span in claim.spans:
        assert farm.add_item(claim, f"piece-{span.index:04d}", f"matte-{span.index:04d}")
    assert farm.finish(claim)
    assert farm.claim(unit_id) is None  # done
    with farm.database.begin() as session:
        assert leases.claim(session, farm.settings, "job_unknown:analyse:0", worker("any")) is None


def test_of_many_claims_at_once_one_gets_the_unit(farm: Farm, job: str) -> None:
    unit_id = f"{job}:analyse:0"
    farm.admit()
    with ThreadPoolExecutor(5) as pool:
        claims = list(pool.map(lambda name: farm.claim(unit_id, worker(f"w{name}")), range(5)))
    assert sum(claim is not None for claim in claims) == 1
    assert farm.unit(unit_id).attempt == 1


def test_a_heartbeat_prolongs_the_lease_while_work_advances(farm: Farm, job: str) -> None:
    claim = farm.take(f"{job}:analyse:0")
    farm.lose(claim)
    assert farm.beat(claim, 5, 600)
    assert farm.take_back(claim.unit_id) is None
    farm.turn_back(Unit, claim.unit_id, "progressed_at", farm.settings.stall_seconds + 1)
    assert farm.beat(claim, 6, 600)  # slow, but it moves
    assert farm.beat(claim, 6, 600)


def test_work_that_hangs_loses_its_lease(farm: Farm, job: str) -> None:
    claim = farm.take(f"{job}:analyse:0")
    assert farm.beat(claim, 5, 600)
    farm.turn_back(Unit, claim.unit_id, "progressed_at", farm.settings.stall_seconds + 1)
    farm.lose(claim)
    assert not farm.beat(claim, 5, 600)
    assert farm.take_back(claim.unit_id) is Outcome.STALLED
    assert farm.unit(claim.unit_id).status == "waiting"
    assert farm.unit(claim.unit_id).failures == 1
    assert not farm.beat(claim, 600, 600)


def test_setting_up_may_take_longer_than_a_stall(farm: Farm, job: str) -> None:
    claim = farm.take(f"{job}:analyse:0")
    farm.turn_back(Unit, claim.unit_id, "progressed_at", farm.settings.stall_seconds + 1)
    assert farm.beat(claim, 0, 600)
    farm.turn_back(Unit, claim.unit_id, "progressed_at", farm.settings.setup_seconds + 1)
    assert not farm.beat(claim, 0, 600)


def test_a_worker_that_vanishes_costs_a_lease_and_no_finished_piece(farm: Farm, job: str) -> None:
    claim = farm.take(f"{job}:analyse:0", worker("first"))
    assert farm.add_item(claim, "piece-0000", "matte-0000")
    assert farm.take_back(claim.unit_id) is None  # its lease still runs
    farm.lose(claim)
    assert farm.take_back(claim.unit_id) is Outcome.LOST
    assert claim.unit_id in farm.admit()  # at once, without a backoff
    second = farm.take(claim.unit_id, worker("second"))
    assert [span.index for span in second.spans] == [1]
    assert (second.total, second.finished) == (600, 300)
    assert set(second.artifacts) == {"piece-0000", "matte-0000"}
    assert second.artifacts["piece-0000"].key == f"{claim.folder}piece-0000"
    assert not farm.add_item(claim, "piece-0001", "matte-0001")
    assert farm.artifacts(job) == {"piece-0000", "matte-0000"}
    assert farm.outcomes(claim.unit_id) == ["lost"]


def test_a_piece_counts_when_all_its_files_are_there(farm: Farm) -> None:
    job = farm.submit(farm.account(), background=Background.TRANSPARENT)
    for stage in (Stage.REFERENCE, Stage.ANALYSE, Stage.JOIN, Stage.SAMPLE, Stage.PLATE):
        farm.do(job, stage)
    claim = farm.take(f"{job}:segment:0")
    assert [(span.start, span.stop) for span in claim.spans] == [(0, 125), (125, 250), (250, 425), (425, 600)]
    assert farm.add_item(claim, "segment-0000", "mask-0000")
    assert farm.add_item(claim, "segment-0001")
    assert farm.hand_over(claim)
    assert [span.index for span in farm.take(claim.unit_id).spans] == [1, 2, 3]


def test_a_unit_that_loses_two_workers_at_the_same_place_fails(farm: Farm) -> None:
    account = farm.account(credit=50)
    job = farm.submit(account)
    unit_id = f"{job}:analyse:0"
    first = farm.take(unit_id)
    farm.lose(first)
    assert farm.take_back(unit_id) is Outcome.LOST
    second = farm.take(unit_id)
    assert farm.add_item(second, "piece-0000", "matte-0000")  # further than the first came
    farm.lose(second)
    assert farm.take_back(unit_id) is Outcome.LOST
    farm.lose(farm.take(unit_id))
    assert farm.take_back(unit_id) is Outcome.FAILED
    assert (farm.job(job).status, farm.job(job).error_code) == ("failed", "CS-UORC01-106")
    assert farm.money(account) == (50, 0)


def test_handing_over_is_not_counted(farm: Farm, job: str) -> None:
    farm = farm.with_settings(max_attempts=2)
    for _ in range(5):
        claim = farm.take(f"{job}:analyse:0")
        assert farm.hand_over(claim)
        assert not farm.hand_over(claim)
        assert not farm.beat(claim, 1, 2)
    unit = farm.unit(f"{job}:analyse:0")
    assert (unit.status, unit.failures, unit.lost, unit.attempt) == ("waiting", 0, 0, 5)
    assert farm.outcomes(unit.id) == ["handed_over"] * 5


def test_the_row_of_a_worker_says_where_it_is(farm: Farm, job: str) -> None:
    with farm.database.begin() as session:
        pools.report_worker(session, worker("w1"), None)
        pools.report_worker(session, worker("w1"), f"{job}:analyse:0")
        pools.report_worker(session, worker("w2", "v3"), None)
    with farm.database.begin() as session:
        assert session.get_one(Worker, "w1").unit_id == f"{job}:analyse:0"
        pools.forget_worker(session, "w1")
        pools.forget_worker(session, "w1")
    with farm.database.begin() as session:
        assert session.get(Worker, "w1") is None
        assert session.get(Worker, "w2") is not None


def test_a_pool_counts_the_live_workers_that_hold_nothing(farm: Farm, job: str) -> None:
    farm.report(worker("busy"), worker("idle"), worker("old", engines=["puppet_v4/old"]), worker("w3", "v3"))
    farm.take(f"{job}:analyse:0", worker("busy"))
    with farm.database.begin() as session:
        there = live_pools(session, farm.settings)
    assert there["v4"].idle == 2
    assert there["v4"].pins == {pins("puppet_v4/old"), pins(ENGINES["v4"])}
    assert there["v3"].idle == 1
    assert "cpu" not in there
    with farm.database.begin() as session:
        for row in session.query(Worker).where(Worker.queue == "v4"):
            row.seen_at = row.seen_at.replace(year=row.seen_at.year - 1)
    with farm.database.begin() as session:
        assert set(live_pools(session, farm.settings)) == {"v3"}
        assert set(pools.forget_dead_workers(session, farm.settings)) == {"busy", "idle", "old"}


def test_another_models_unit_has_another_queue(farm: Farm) -> None:
    job = farm.submit(farm.account(), model=Model.V3)
    farm.admit()
    assert farm.claim(f"{job}:analyse:0", worker("v4", "v4")) is None
    assert farm.claim(f"{job}:analyse:0", worker("v3", "v3")) is not None
