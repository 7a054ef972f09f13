"""What an account has for nothing, and what happens beyond it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline.spec import Model, RenderSpec, Stage, plan_for
from renderfarm import free, jobs
from renderfarm.errors import FarmError
from renderfarm.models import Job
from tests.renderfarm.farm import VIDEO, Farm

CODE = "CS-UORC01-118"
DAY = 24 * 3600


def _preprocess(farm: Farm, account: str) -> str:
    """A job that costs nothing, taken where the account may have one more."""
    with farm.database.begin() as session:
        free.check_preprocess(session, farm.settings, account)
    return farm.submit(account, price=0)


def _refused(call: Any, *values: Any) -> FarmError:
    with pytest.raises(FarmError) as refused:
        call(*values)
    assert refused.value.code == CODE
    return refused.value


def _used(farm: Farm, account: str) -> tuple[int, int]:
    with farm.database.begin() as session:
        had = (
            free.preprocess(session, farm.settings, account),
            free.cancels(session, farm.settings, account),
        )
    return had[0].used, had[1].used


def _begun(farm: Farm, account: str) -> str:
    job_id = farm.submit(account, price=5)
    farm.take(f"{job_id}:{Stage.REFERENCE}:0")
    return job_id


def test_so_many_are_preprocessed_in_a_day_and_the_next_when_one_is_older(farm: Farm) -> None:
    farm = farm.with_settings(free_preprocess_per_day=2)
    account, other = farm.account(), farm.account()
    first = _preprocess(farm, account)
    farm.turn_back(Job, first, "created_at", DAY - 100)
    _preprocess(farm, account)
    assert 90 < (_refused(_preprocess, farm, account).retry_after or 0) <= 101
    _preprocess(farm, other)
    farm.turn_back(Job, first, "created_at", DAY + 1)
    _preprocess(farm, account)
    assert _used(farm, account) == (2, 0)


def test_so_many_are_preprocessed_at_once(farm: Farm) -> None:
    farm = farm.with_settings(free_preprocess_open=1)
    account = farm.account()
    job_id = _preprocess(farm, account)
    assert _refused(_preprocess, farm, account).retry_after
    farm.cancel(account, job_id)
    _preprocess(farm, account)
    assert _used(farm, account) == (2, 0)  # what was given up was counted when it came


def test_of_many_that_come_at_once_no_more_are_taken(farm: Farm) -> None:
    farm = farm.with_settings(free_preprocess_per_day=3)
    account = farm.account()

    def one(_: int) -> bool:
        with farm.database.begin() as session:
            try:
                free.check_preprocess(session, farm.settings, account)
            except FarmError:
                return False
            new = jobs.NewJob(
                spec=RenderSpec(Model.V4),
                plan=plan_for(Model.V4),
                video=VIDEO,
                inputs={},
                mode="full_pipeline",
                credits=0,
            )
            jobs.submit(session, farm.settings, account, new)
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 3


def test_so_many_renders_are_given_up_after_they_began_and_the_next_goes_on(farm: Farm) -> None:
    farm = farm.with_settings(free_cancels_per_day=1)
    account = farm.account(credit=100)
    given_up, going_on, waiting = _begun(farm, account), _begun(farm, account), farm.submit(account, price=5)
    farm.cancel(account, given_up)
    refused = _refused(farm.cancel, account, going_on)
    assert DAY - 60 < (refused.retry_after or 0) <= DAY
    assert farm.job(going_on).status == "processing"
    assert farm.money(account) == (90, 10)
    farm.cancel(account, waiting)  # which cost nobody anything
    assert _used(farm, account) == (0, 1)
    farm.turn_back(Job, given_up, "completed_at", DAY + 1)
    farm.cancel(account, going_on)
    assert farm.money(account) == (100, 0)


def test_a_farm_that_gives_nothing_for_nothing_says_so(farm: Farm) -> None:
    farm = farm.with_settings(free_cancels_per_day=0, free_preprocess_per_day=0)
    account = farm.account()
    job_id = _begun(farm, account)
    assert _refused(farm.cancel, account, job_id).retry_after == DAY
    assert _refused(_preprocess, farm, account).retry_after == DAY
