"""Jobs by their rows: counted once, however they end, and however often the exporter starts."""

from __future__ import annotations

from pipeline.spec import RENDER, Model, Stage
from renderfarm.db import Database
from renderfarm.metrics.exporter import FarmCollector
from renderfarm.models import Job
from renderfarm.settings import Settings
from tests.renderfarm.farm import Farm
from tests.renderfarm.metrics.page import Page

V4 = {"model": "V4_Preview", "mode": "full_pipeline"}


def waits(page: Page, le: str = "+Inf") -> float | None:
    return page("job_wait_seconds_bucket", **V4, le=le)


def ended(page: Page, outcome: str) -> float | None:
    return page("job_duration_seconds_count", **V4, outcome=outcome)


def test_everything_that_could_be_counted_is_there_at_zero(page: Page) -> None:
    """A counter that first appears at 1 has not grown, as Prometheus sees it."""
    for model in Model:
        for mode in ("full_pipeline", "preprocessed", "fast"):
            assert page("job_wait_seconds_count", model=model, mode=mode) == 0
            for outcome in ("complete", "failed", "cancelled"):
                assert page("job_duration_seconds_count", model=model, mode=mode, outcome=outcome) == 0
    for kind in ("grant", "hold", "capture", "release"):
        assert page("credits_total", kind=kind) == 0


def test_a_job_counts_once_from_its_submission_to_its_end_and_on(farm: Farm, page: Page) -> None:
    job_id = farm.submit(farm.account())
    assert (page("jobs", **V4, status="queued"), waits(page), ended(page, "complete")) == (1, 0, 0)
    farm.do(job_id, Stage.REFERENCE)
    assert (page("jobs", **V4, status="processing"), waits(page)) == (1, 1)
    for stage in RENDER[1:]:
        farm.do(job_id, stage)
    for age in (0, 60, 300):
        farm.turn_back(Job, job_id, "completed_at", age)
        assert page("jobs", **V4, status="complete") == 1
        assert (waits(page), waits(page, "300.0"), ended(page, "complete")) == (1, 1, 1)
    assert page("jobs", **V4, status="queued") == page("jobs", **V4, status="processing") == 0
    farm.cancel(account := farm.account(), farm.submit(account))
    assert (ended(page, "complete"), ended(page, "cancelled"), waits(page)) == (1, 1, 1)


def test_an_exporter_that_starts_again_goes_on_where_the_last_one_was(
    farm: Farm, page: Page, settings: Settings, database: Database
) -> None:
    account = farm.account()
    for age in (0, 7200):
        job_id = farm.submit(account)
        farm.do(job_id, Stage.REFERENCE)
        farm.cancel(account, job_id)
        for column in ("created_at", "started_at", "completed_at"):
            farm.turn_back(Job, job_id, column, age)
    page.all()
    again = FarmCollector(settings, database)
    assert Page(again)("job_wait_seconds_count", **V4) is None, "nothing is said before all is known"
    again.look()
    before, after = page.all(), Page(again).all()
    lasting = [key for key in before if key[0].startswith(("renderfarm_job", "renderfarm_credits"))]
    assert len(lasting) > 100
    assert {key: before[key] for key in lasting} == {key: after[key] for key in lasting}


def test_a_job_that_waits_in_vain_is_known_for_late_before_it_starts(farm: Farm, page: Page) -> None:
    job_id = farm.submit(farm.account())
    farm.turn_back(Job, job_id, "created_at", 290)
    assert waits(page) == 0
    farm.turn_back(Job, job_id, "created_at", 400)
    assert (waits(page), waits(page, "300.0"), waits(page, "600.0"), waits(page, "21600.0")) == (1, 0, 0, 0)
    farm.do(job_id, Stage.REFERENCE)
    assert (waits(page), waits(page, "300.0"), waits(page, "600.0"), waits(page, "21600.0")) == (1, 0, 1, 1)


def test_who_changes_his_mind_in_time_was_not_kept_waiting(farm: Farm, page: Page) -> None:
    account = farm.account()
    farm.cancel(account, farm.submit(account))
    assert waits(page) == 0
    late = farm.submit(account)
    farm.turn_back(Job, late, "created_at", 400)
    farm.cancel(account, late)
    assert (waits(page), waits(page, "300.0")) == (1, 0)


def test_a_clock_that_was_wrong_gives_no_negative_times(farm: Farm, page: Page) -> None:
    account = farm.account()
    job_id = farm.submit(account)
    farm.do(job_id, Stage.REFERENCE)
    farm.cancel(account, job_id)
    farm.turn_back(Job, job_id, "created_at", -3600)
    assert (waits(page, "1.0"), page("job_wait_seconds_sum", **V4)) == (1, 0)
    assert page("job_duration_seconds_sum", **V4, outcome="cancelled") == 0


def test_credits_are_counted_by_why_they_moved(farm: Farm, exporter: FarmCollector, page: Page) -> None:
    account = farm.account(credit=100)
    farm.do_all(farm.submit(account, price=20))
    farm.cancel(account, farm.submit(account, price=7))
    farm.submit(account, price=3)
    moved = {kind: page("credits_total", kind=kind) for kind in ("grant", "hold", "capture", "release")}
    assert moved == {"grant": 100, "hold": 30, "capture": 20, "release": 7}
    assert (page("credits_available"), page("credits_held")) == (77, 3)
    exporter.look()
    assert page("ledger_mismatch") == 0


def test_no_series_names_an_account_or_a_job(farm: Farm, page: Page) -> None:
    """Of those there are as many as users want."""
    account = farm.account()
    job_id = farm.submit(account)
    shown = str(page.all())
    assert account not in shown and job_id not in shown
