"""A unit that failed on a worker is tried on another one, where there is one."""

from __future__ import annotations

import pytest

from renderfarm.jobs import OUT_OF_MEMORY, Outcome
from renderfarm.leases import BetterElsewhere
from renderfarm.models import JobStatus, Unit
from tests.renderfarm.farm import Farm, worker


@pytest.fixture
def unit_id(farm: Farm) -> str:
    farm.report(worker("w1"), worker("w2"))
    return f"{farm.submit(farm.account())}:analyse:0"


def admit_again(farm: Farm, unit_id: str) -> None:
    """Its backoff is over, and its message out; it still failed a moment ago."""
    farm.turn_back(Unit, unit_id, "not_before", 1)
    assert unit_id in farm.admit()


def test_the_worker_it_failed_on_leaves_it_to_one_that_is_free(farm: Farm, unit_id: str) -> None:
    farm.fail(farm.take(unit_id, worker("w1")))
    admit_again(farm, unit_id)
    with pytest.raises(BetterElsewhere):
        farm.claim(unit_id, worker("w1"))
    assert farm.claim(unit_id, worker("w2")) is not None


@pytest.mark.parametrize("other", ["busy", "another version", "another queue", "gone"])
def test_it_takes_it_all_the_same_when_no_other_can(farm: Farm, other: str) -> None:
    there = {
        "busy": worker("w2"),
        "another version": worker("w2", engines=["puppet_v4/old"]),
        "another queue": worker("w2", "v3"),
    }
    farm.report(worker("w1"), *([there[other]] if other in there else []))
    account = farm.account()
    unit_id = f"{farm.submit(account)}:analyse:0"
    if other == "busy":
        farm.take(f"{farm.submit(account)}:analyse:0", worker("w2"))
    farm.fail(farm.take(unit_id, worker("w1")))
    admit_again(farm, unit_id)
    assert farm.claim(unit_id, worker("w1")) is not None


def test_it_is_left_to_others_for_a_while_only(farm: Farm, unit_id: str) -> None:
    farm.fail(farm.take(unit_id, worker("w1")))
    admit_again(farm, unit_id)
    farm.turn_back(Unit, unit_id, "not_before", 60)
    assert farm.claim(unit_id, worker("w1")) is not None


def test_a_worker_without_memory_gets_one_more_chance_and_then_another_worker_does(
    farm: Farm, unit_id: str
) -> None:
    first = farm.take(unit_id, worker("w1"))
    assert farm.fail(first, OUT_OF_MEMORY) is Outcome.RETRY
    admit_again(farm, unit_id)
    again = farm.claim(unit_id, worker("w1"))
    assert again is not None
    farm.fail(again, OUT_OF_MEMORY)
    admit_again(farm, unit_id)
    with pytest.raises(BetterElsewhere):
        farm.claim(unit_id, worker("w1"))
    elsewhere = farm.claim(unit_id, worker("w2"))
    assert elsewhere is not None
    farm.fail(elsewhere, OUT_OF_MEMORY)
    farm.fail(farm.take(unit_id, worker("w3")), OUT_OF_MEMORY)
    job = farm.job(elsewhere.job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, OUT_OF_MEMORY)


def test_a_worker_that_handed_it_over_may_have_it_again(farm: Farm, unit_id: str) -> None:
    farm.hand_over(farm.take(unit_id, worker("w1")))
    admit_again(farm, unit_id)
    assert farm.claim(unit_id, worker("w1")) is not None
