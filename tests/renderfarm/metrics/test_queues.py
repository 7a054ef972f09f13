"""Queues and pools: whether those who wait and those who are idle could meet."""

from __future__ import annotations

from renderfarm.metrics.exporter import FarmCollector
from renderfarm.models import Unit
from tests.renderfarm.farm import Farm, worker
from tests.renderfarm.metrics.page import Page


def startable(farm: Farm) -> float | None:
    """As an exporter of the farm's own settings sees it."""
    return Page(FarmCollector(farm.settings, farm.database))("queue_startable", queue="v4")


def test_what_an_idle_worker_could_take_is_startable_admitted_or_not(farm: Farm, page: Page) -> None:
    job_id = farm.submit(farm.account())
    assert startable(farm) == 0, "there is nobody to take it"
    farm.report(worker("a"))
    assert startable(farm) == 1, "two units wait, and one worker is idle"
    assert farm.admit()
    assert startable(farm) == 1, "a message is out, and nobody has come for it"
    farm.take(f"{job_id}:reference:0", worker("a"))
    assert (startable(farm), page("queue_depth", queue="v4")) == (0, 1), "the only worker has work"
    assert page("workers", queue="v4") == page("workers_busy", queue="v4") == 1


def test_who_has_as_many_running_as_he_may_keeps_no_worker_waiting(farm: Farm) -> None:
    """As many units wait as there are idle workers, and all is as it should be."""
    farm = farm.with_settings(account_running_cap=1)
    account = farm.account()
    first = farm.submit(account)
    farm.submit(account)
    farm.report(worker("a"), worker("b"))
    farm.take(f"{first}:reference:0", worker("a"))
    assert farm.admit() == []
    assert startable(farm) == 0


def test_backoff_and_absent_versions_keep_no_worker_waiting(farm: Farm) -> None:
    job_id = farm.submit(farm.account())
    farm.report(worker("a", engines=["puppet_v4/0"]))
    assert startable(farm) == 0
    farm.report(worker("a"))
    assert startable(farm) == 1
    for stage in ("reference", "analyse"):
        farm.turn_back(Unit, f"{job_id}:{stage}:0", "not_before", -60)
    assert startable(farm) == 0


def test_a_pools_busy_share_is_not_there_without_a_pool(farm: Farm, page: Page) -> None:
    def busy(queue: str) -> float | None:
        return page("gpu_busy_ratio", queue=queue)

    assert busy("v4") is None, "none of nobody is no share"
    farm.report(worker("a"), worker("b"), worker("c", "cpu"))
    assert (busy("v4"), busy("v3"), busy("cpu")) == (0, None, None)
    farm.take(f"{farm.submit(farm.account())}:reference:0", worker("a"))
    assert busy("v4") == 0.5
