"""Fast mode through the API: taken at twice the price where there is room, else refused for nothing."""

from __future__ import annotations

from typing import Any

from api.context import Farm
from renderfarm import pools
from renderfarm.claims import WorkerIdentity
from renderfarm.models import Account, Job
from tests.api.conftest import GRANT, Caller, assert_untouched, error_of
from tests.renderfarm.farm import worker


def report(farm: Farm, *workers: WorkerIdentity) -> None:
    with farm.database.begin() as session:
        for each in workers:
            pools.report_worker(session, each, None)


def test_without_two_free_workers_fast_is_refused_and_nothing_kept(
    alice: Caller, farm: Farm, upload: dict[str, Any]
) -> None:
    report(farm, worker("v3-1", "v3"), worker("v3-2", "v3"), worker("v4-1"))
    assert error_of(alice.post(upload | {"fast": "true"}), 400) == "CS-UORC01-001"
    assert_untouched(farm, alice)


def test_with_two_free_workers_fast_is_taken_at_twice_the_price(
    alice: Caller, farm: Farm, upload: dict[str, Any]
) -> None:
    report(farm, worker("v4-1"), worker("v4-2"))
    response = alice.post(upload | {"fast": "true"})
    assert (response.status_code, response.get_json()["mode"]) == (202, "fast")
    shown = alice.client.get(f"/api/render/{response.get_json()['job_id']}").get_json()
    assert (shown["mode"], shown["credits"], shown["queue_position"]) == ("fast", 6, 1)
    with farm.database.begin() as session:
        assert session.get_one(Job, shown["job_id"]).mode == "fast"
        account = session.get_one(Account, alice.account_id)
        assert (account.available, account.held) == (GRANT - 6, 6)
