"""How long a render would wait and take, by what the farm has done of late."""

from __future__ import annotations

import pytest
from sqlalchemy import func, text, update

from pipeline.spec import Model
from renderfarm.estimate import Estimate, estimate
from renderfarm.models import Job, Unit
from renderfarm.stages import QUEUES
from tests.renderfarm.farm import Farm, worker


def told(farm: Farm, account_id: str, mode: str = "full_pipeline") -> Estimate:
    with farm.database.begin() as session:
        return estimate(session, farm.settings, account_id, Model.V4, mode)


def seconds(count: float) -> object:
    return func.now() - text(f"interval '{count} seconds'")


def done(farm: Farm, ran: float, worked: float, credits: int = 20, ago: float = 0) -> None:
    """A render that has ended: how long it ran, and how long a worker of its pool was busy with it."""
    job_id = farm.submit(farm.account(), price=credits)
    with farm.database.begin() as session:
        session.execute(
            update(Job)
            .where(Job.id == job_id)
            .values(status="complete", started_at=seconds(ran + ago), completed_at=seconds(ago))
        )
        units = update(Unit).where(Unit.job_id == job_id)
        session.execute(units.values(status="done", started_at=seconds(ago), finished_at=seconds(ago)))
        analyse = units.where(Unit.stage == "analyse", Unit.queue == QUEUES[Model.V4])
        session.execute(analyse.values(started_at=seconds(worked + ago)))


def test_without_a_worker_and_a_past_nobody_knows(farm: Farm) -> None:
    assert told(farm, farm.account()) == Estimate(queue_position=1, wait=None, per_credit=None)


def test_a_free_worker_begins_at_once(farm: Farm) -> None:
    farm.report(worker("a"))
    assert told(farm, farm.account()).wait == 0


def test_it_takes_what_the_median_of_the_last_day_took(farm: Farm) -> None:
    for ran in (40, 60, 1000):  # 2, 3 and 50 s a credit
        done(farm, ran, worked=ran)
    done(farm, ran=1, worked=1, ago=25 * 3600)
    assert told(farm, farm.account()).per_credit == pytest.approx(3, abs=0.05)
    assert told(farm, farm.account(), mode="preprocessed").per_credit is None, "another kind of work"


def test_it_waits_until_the_workers_there_have_done_what_is_before_it(farm: Farm) -> None:
    done(farm, ran=60, worked=40)  # 2 s of a worker for a credit
    first, second, late = farm.account(), farm.account(), farm.account()
    at_work, waits = farm.submit(first, price=20), farm.submit(second, price=10)
    farm.report(worker("a"), worker("b"))
    claim = farm.take(f"{at_work}:analyse:0", worker("a"))
    farm.turn_back(Unit, claim.unit_id, "started_at", 10)
    farm.take(f"{at_work}:reference:0", worker("b"))
    found = told(farm, late)
    assert found.queue_position == farm.position(waits) + 1 == 2  # type: ignore[operator]  # it has a place
    assert found.wait == pytest.approx((20 * 2 - 10 + 10 * 2) / 2, abs=0.5)
    assert told(farm, second).queue_position == 2, "after one's own"


def test_its_place_is_the_one_it_then_gets(farm: Farm) -> None:
    busy, quiet = farm.account(), farm.account()
    for _ in range(3):
        farm.submit(busy)
    farm.take(f"{farm.submit(quiet)}:reference:0")
    for account in (busy, quiet, farm.account()):
        place = told(farm, account).queue_position
        assert farm.position(farm.submit(account)) == place
