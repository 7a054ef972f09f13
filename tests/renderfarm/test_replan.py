"""A job whose pinned versions have gone is planned anew, and no video is mixed from two versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.spec import RENDER, Plan
from renderfarm.cdn import Public
from renderfarm.jobs import FAST
from renderfarm.models import Job, JobStatus, Unit
from renderfarm.replan import replan
from renderfarm.stages import pins_by
from renderfarm.storage import FileStore
from renderfarm.sweep import Sweeper
from tests.renderfarm.farm import Farm, worker

OLD = {"engines": ["puppet_v4/old"]}


@pytest.fixture
def sweeper(farm: Farm, tmp_path: Path) -> Sweeper:
    return Sweeper(farm.settings, farm.database, FileStore(tmp_path / "store", Public("http://x")))


def submit_to_the_old(farm: Farm, account_id: str, **options: str) -> str:
    """A job that was pinned to an engine of which the last worker has just gone."""
    job_id = farm.submit(account_id, **options)
    with farm.database.begin() as session:
        job = session.get_one(Job, job_id)
        job.plan = {**job.plan, "engine": {"name": "puppet_v4", "version": "old"}}
        pins = pins_by(Plan.from_json(job.plan), "v4")
        session.query(Unit).where(Unit.job_id == job_id).update({"pins": pins}, synchronize_session=False)
    return job_id


def wait_for_long(farm: Farm, job_id: str) -> None:
    with farm.database.begin() as session:
        waiting = session.query(Unit).where(Unit.job_id == job_id, Unit.status.in_(["waiting", "admitted"]))
        ids = [unit.id for unit in waiting]
    for unit_id in ids:
        for column in ("created_at", "not_before"):
            farm.turn_back(Unit, unit_id, column, farm.settings.replan_seconds + 1)


@pytest.mark.parametrize("mode", ["full_pipeline", FAST])
def test_it_begins_anew_with_the_versions_that_are_there_at_the_same_price(
    farm: Farm, sweeper: Sweeper, mode: str
) -> None:
    farm.report(*(worker(f"w{number}") for number in range(4)), worker("stitcher", "cpu"))
    account = farm.account(credit=100)
    job_id = submit_to_the_old(farm, account, mode=mode)
    late = farm.take(f"{job_id}:analyse:0", worker("old-1", **OLD))
    assert farm.add_item(late, "piece-0000", "matte-0000")
    reference = farm.take(f"{job_id}:reference:0", worker("old-2", **OLD))
    assert farm.finish(reference, "character")
    farm.hand_over(late)
    running = farm.take(f"{job_id}:analyse:0", worker("old-1", **OLD))
    assert sweeper.replan_stranded() == 0, "an old worker may still come back"
    farm.hand_over(running)
    wait_for_long(farm, job_id)
    assert sweeper.replan_stranded() == 1
    assert sweeper.replan_stranded() == 0
    assert farm.artifacts(job_id) == set()
    assert farm.units(job_id)["reference"] == "waiting", "what the old engine made is made again"
    for stage in RENDER:
        farm.do(job_id, stage)
    job = farm.job(job_id)
    assert job.status == JobStatus.COMPLETE
    assert farm.unit(f"{job_id}:analyse:0").attempt == 3, "attempts count on: no two write the same key"
    assert farm.money(account) == ((80, 0) if mode != FAST else (90, 0))
    assert farm.mismatches() == 0


def test_what_an_old_worker_still_draws_is_thrown_away(farm: Farm, sweeper: Sweeper) -> None:
    farm.report(worker("new"), worker("stitcher", "cpu"))
    job_id = submit_to_the_old(farm, farm.account())
    claim = farm.take(f"{job_id}:analyse:0", worker("silent", **OLD))
    wait_for_long(farm, job_id)  # the reference's unit
    assert sweeper.replan_stranded() == 1
    assert not farm.add_item(claim, "piece-0000", "matte-0000")
    assert not farm.beat(claim, 5, 10)
    assert not farm.finish(claim)
    assert farm.outcomes(claim.unit_id) == ["replanned"]
    assert farm.artifacts(job_id) == set()


@pytest.mark.parametrize("there", ["nobody", "an old worker", "no stitcher", "a version we do not know"])
def test_it_stays_as_it_is_while_that_would_not_help(farm: Farm, sweeper: Sweeper, there: str) -> None:
    workers = {
        "nobody": [],
        "an old worker": [worker("new"), worker("stitcher", "cpu"), worker("back", **OLD)],
        "no stitcher": [worker("new")],
        "a version we do not know": [worker("newest", engines=["puppet_v4/newest"]), worker("s", "cpu")],
    }
    farm.report(*workers[there])
    job_id = submit_to_the_old(farm, farm.account())
    wait_for_long(farm, job_id)
    assert sweeper.replan_stranded() == 0
    assert farm.job(job_id).plan["engine"]["version"] == "old"


def test_a_job_that_has_ended_is_not_planned_anew(farm: Farm) -> None:
    account = farm.account()
    job_id = farm.submit(account)
    plan = Plan.from_json({**farm.job(job_id).plan, "version": "newer"})
    farm.cancel(account, job_id)
    with farm.database.begin() as session:
        assert not replan(session, job_id, plan)
