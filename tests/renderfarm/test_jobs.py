"""The state machine: how jobs and their units go from one state to the next, and how they end."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from pipeline.spec import RENDER, Background, Model, Stage
from renderfarm import garbage, jobs, listing
from renderfarm.errors import FarmError
from renderfarm.jobs import Outcome
from renderfarm.models import Garbage, Job, JobStatus, LedgerEntry, Settlement, Unit
from tests.renderfarm.farm import ENGINES, Farm, pins, worker


def garbage_keys(farm: Farm) -> set[str]:
    with farm.database.begin() as session:
        return set(session.scalars(select(Garbage.key)))


def test_a_job_starts_with_the_stages_that_need_nothing(farm: Farm) -> None:
    job = farm.job(farm.submit(farm.account(), model=Model.V3))
    assert (job.status, job.checkpoint, job.started_at) == ("queued", None, None)
    assert farm.units(job.id) == {"reference": "waiting", "analyse": "waiting"}
    unit = farm.unit(f"{job.id}:analyse:0")
    assert (unit.queue, unit.total, unit.attempt) == ("v3", 600, 0)
    assert unit.pins == pins(ENGINES["v3"])
    assert unit.queued_at == job.created_at


def test_submitting_makes_the_uploads_the_jobs_own(farm: Farm) -> None:
    with farm.database.begin() as session:
        garbage.throw(session, farm.settings, ["in/a/picture", "in/a/video", "in/a/other"])
    farm.submit(farm.account())
    assert garbage_keys(farm) == {"in/a/other"}


def test_a_job_goes_through_its_stages_to_the_end(farm: Farm) -> None:
    account = farm.account(credit=50)
    job = farm.submit(account, background=Background.TRANSPARENT, price=20)
    seen = []
    for stage, then in [
        (Stage.ANALYSE, {"reference", "analyse", "join"}),
        (Stage.JOIN, {"reference", "analyse", "join", "sample"}),
        (Stage.SAMPLE, {"reference", "analyse", "join", "sample", "plate"}),
        (Stage.PLATE, {"reference", "analyse", "join", "sample", "plate"}),
        (Stage.REFERENCE, {"reference", "analyse", "join", "sample", "plate", "segment"}),
        (Stage.SEGMENT, {stage.value for stage in RENDER}),
    ]:
        farm.do(job, stage)
        assert set(farm.units(job)) == then
        seen.append(farm.job(job).checkpoint)
        assert farm.job(job).status == "processing"
    # Nothing counts before the character is done, and with it everything that went ahead of it.
    assert seen == [None, None, None, None, "bg_done", "render_done"]
    assert farm.unit(f"{job}:stitch:0").queue == "cpu"
    with farm.database.begin() as session:
        garbage.throw(session, farm.settings, [f"out/{job}/output", f"out/{job}/lost"])
    farm.do(job, Stage.STITCH)
    ended = farm.job(job)
    assert (ended.status, ended.checkpoint, ended.error_code) == ("complete", "render_done", None)
    assert ended.outputs == {name: f"out/{job}/{name}" for name in ("output", "mask", "thumbnail")}
    assert ended.facts == {"cuts": [250]}
    assert ended.completed_at >= ended.started_at
    assert set(farm.units(job).values()) == {"done"}
    assert garbage_keys(farm) == {f"work/{job}/", f"out/{job}/lost"}
    assert farm.money(account) == (30, 0)
    assert farm.mismatches() == 0


def test_the_checkpoint_is_the_furthest_with_all_before_it(farm: Farm) -> None:
    job = farm.submit(farm.account())
    seen = []
    for stage in RENDER:
        farm.do(job, stage)
        seen.append(farm.job(job).checkpoint)
    assert seen == ["ref_done", "ref_done", "dri_done", "dri_done", "bg_done", "render_done", "render_done"]


def test_an_input_at_fault_fails_the_job_at_once_and_gives_the_credits_back(farm: Farm) -> None:
    account = farm.account(credit=50)
    job = farm.submit(account)
    other = farm.take(f"{job}:reference:0")
    claim = farm.take(f"{job}:analyse:0")
    assert farm.fail(claim, "CS-UORC01-101", retryable=False) is Outcome.FAILED
    ended = farm.job(job)
    assert (ended.status, ended.error_code, ended.error_message) == ("failed", "CS-UORC01-101", "it broke")
    assert farm.units(job) == {"reference": "cancelled", "analyse": "failed"}
    assert farm.money(account) == (50, 0)
    assert garbage_keys(farm) == {f"work/{job}/", "in/a/picture", "in/a/video"}
    assert not farm.beat(other, 1, 2)
    assert not farm.finish(other, "character")
    assert farm.fail(other) is Outcome.STALE
    assert farm.outcomes(other.unit_id) == ["cancelled"]
    assert farm.outcomes(claim.unit_id) == ["failed"]


def test_a_code_that_is_not_public_is_not_shown(farm: Farm) -> None:
    job = farm.submit(farm.account())
    farm.fail(farm.take(f"{job}:analyse:0"), "E-SECRET", retryable=False)
    assert farm.job(job).error_code == "CS-UORC01-199"


def test_a_failure_that_may_pass_is_tried_again_later_and_not_for_ever(farm: Farm) -> None:
    farm = farm.with_settings(max_attempts=3, retry_seconds=10.0)
    account = farm.account(credit=50)
    job = farm.submit(account)
    unit_id = f"{job}:analyse:0"
    waits = []
    for _ in range(2):
        assert farm.fail(farm.take(unit_id)) is Outcome.RETRY
        with farm.database.begin() as session:
            query = select(func.extract("epoch", Unit.not_before - func.now())).where(Unit.id == unit_id)
            waits.append(float(session.execute(query).scalar_one()))
        assert unit_id not in farm.admit()
        farm.turn_back(Unit, unit_id, "not_before", 1)
        assert unit_id in farm.admit()
    assert 9 < waits[0] <= 10
    assert 19 < waits[1] <= 20
    assert farm.fail(farm.take(unit_id)) is Outcome.FAILED
    assert farm.job(job).error_code == "CS-UORC01-103"
    assert farm.outcomes(unit_id) == ["retry", "retry", "failed"]
    assert farm.money(account) == (50, 0)


def test_a_finished_piece_gives_a_long_job_its_attempts_back(farm: Farm) -> None:
    farm = farm.with_settings(max_attempts=2)
    job = farm.submit(farm.account())
    for piece in ("0000", "0001"):
        claim = farm.take(f"{job}:analyse:0")
        assert farm.add_item(claim, f"piece-{piece}", f"matte-{piece}")
        assert farm.fail(claim) is Outcome.RETRY
    assert farm.fail(farm.take(f"{job}:analyse:0")) is Outcome.FAILED


def test_cancelling_settles_at_once_and_stops_what_runs(farm: Farm) -> None:
    account = farm.account(credit=50)
    job = farm.submit(account, price=20)
    claim = farm.take(f"{job}:analyse:0")
    assert farm.money(account) == (30, 20)
    cancelled = farm.cancel(account, job)
    assert (cancelled.status, cancelled.error_code) == ("cancelled", "CS-UORC01-105")
    assert farm.money(account) == (50, 0)
    assert set(farm.units(job).values()) == {"cancelled"}
    assert not farm.beat(claim, 10, 600)
    assert not farm.add_item(claim, "piece-0000", "matte-0000")
    assert not farm.finish(claim)
    assert not farm.hand_over(claim)
    assert farm.fail(claim) is Outcome.STALE
    assert farm.artifacts(job) == set()
    assert garbage_keys(farm) == {f"work/{job}/", "in/a/picture", "in/a/video"}
    assert farm.units(job) == {"reference": "cancelled", "analyse": "cancelled"}
    assert farm.mismatches() == 0


def test_only_ones_own_open_job_can_be_cancelled(farm: Farm) -> None:
    mine, other = farm.account(), farm.account()
    job = farm.submit(mine)
    for account, wanted in ((other, job), (mine, "job_unknown")):
        with pytest.raises(FarmError, match="CS-UORC01-110"):
            farm.cancel(account, wanted)
    farm.cancel(mine, job)
    with pytest.raises(FarmError, match="CS-UORC01-112"):
        farm.cancel(mine, job)
    assert farm.money(mine) == (100, 0)


@pytest.mark.parametrize(("started", "column"), [(False, "queue_deadline"), (True, "run_deadline")])
def test_a_job_past_its_deadline_fails_and_costs_nothing(farm: Farm, started: bool, column: str) -> None:
    account = farm.account(credit=50)
    job = farm.submit(account)
    claim = farm.take(f"{job}:analyse:0") if started else None
    with farm.database.begin() as session:
        assert not jobs.time_out(session, farm.settings, job)
    farm.turn_back(Job, job, column, 1)
    with farm.database.begin() as session:
        assert jobs.time_out(session, farm.settings, job)
        assert not jobs.time_out(session, farm.settings, job)
    assert (farm.job(job).status, farm.job(job).error_code) == ("failed", "CS-UORC01-104")
    assert farm.money(account) == (50, 0)
    assert claim is None or not farm.beat(claim)


def test_a_job_that_has_started_has_no_queue_deadline(farm: Farm) -> None:
    job = farm.submit(farm.account())
    farm.take(f"{job}:analyse:0")
    farm.turn_back(Job, job, "queue_deadline", 1)
    with farm.database.begin() as session:
        assert not jobs.time_out(session, farm.settings, job)


def test_a_job_that_has_ended_settles_no_second_time(farm: Farm) -> None:
    account = farm.account(credit=50)
    job = farm.submit(account, price=20)
    farm.do_all(job)
    farm.turn_back(Job, job, "run_deadline", 1)
    with farm.database.begin() as session:
        assert not jobs.time_out(session, farm.settings, job)
    with pytest.raises(FarmError, match="CS-UORC01-112"):
        farm.cancel(account, job)
    with farm.database.begin() as session:
        settlement = session.get_one(Settlement, job)
        assert (settlement.captured, settlement.returned) == (20, 0)
    assert farm.job(job).status == JobStatus.COMPLETE


def test_a_late_finish_writes_no_file_and_no_fact(farm: Farm) -> None:
    job = farm.submit(farm.account())
    farm.do(job, Stage.ANALYSE)
    late = farm.take(f"{job}:join:0", worker("first"))
    farm.lose(late)
    assert farm.take_back(late.unit_id) is Outcome.LOST
    claim = farm.take(late.unit_id, worker("second"))
    assert claim.attempt == late.attempt + 1
    assert not farm.finish(late, "tracks", facts={"cuts": [1]})
    assert farm.job(job).facts == {}
    assert "tracks" not in farm.artifacts(job)
    assert farm.finish(claim, "tracks", facts={"cuts": [2]})
    assert farm.job(job).facts == {"cuts": [2]}
    assert not farm.finish(claim, "tracks", facts={"cuts": [3]})
    assert farm.job(job).facts == {"cuts": [2]}


def test_jobs_are_listed_newest_first_by_pages(farm: Farm) -> None:
    mine, other = farm.account(), farm.account()
    ids = [farm.submit(mine) for _ in range(4)]
    farm.submit(other)
    farm.cancel(mine, ids[0])
    with farm.database.begin() as session:
        page = listing.list_jobs(session, mine, limit=3)
        rest = listing.list_jobs(session, mine, before=page[-1].id)
        assert [job.id for job in page + rest] == ids[::-1]
        assert [job.id for job in listing.list_jobs(session, mine, status="cancelled")] == [ids[0]]
        assert len(listing.list_jobs(session)) == 5
        found = listing.get(session, ids[2])
        assert found is not None
        assert found.id == ids[2]
        assert listing.get(session, "job_unknown") is None


def test_a_job_passes_its_own_stages_and_no_others(farm: Farm) -> None:
    """What it has not was done before it: a scene's pieces, a character that is stored."""
    account = farm.account(credit=20)
    job_id = farm.submit(account, stages=(Stage.SEGMENT, Stage.STITCH))
    assert farm.units(job_id) == {"segment": "waiting"}
    farm.do(job_id, Stage.SEGMENT)
    assert farm.progress(job_id).pct == int(100 * 43 / 44)
    assert farm.job(job_id).checkpoint == "render_done"
    farm.do(job_id, Stage.STITCH)
    assert (farm.job(job_id).status, farm.progress(job_id).pct) == ("complete", 100)
    assert farm.money(account) == (0, 0)


def test_a_free_job_ends_when_its_last_stage_does_and_moves_no_credit(farm: Farm) -> None:
    account = farm.account(credit=0)
    job_id = farm.submit(account, stages=(Stage.REFERENCE,), price=0)
    farm.do(job_id, Stage.REFERENCE)
    other = farm.submit(account, stages=(Stage.REFERENCE,), price=0)
    farm.cancel(account, other)
    assert (farm.job(job_id).status, farm.job(other).status) == ("complete", "cancelled")
    with farm.database.begin() as session:
        assert session.scalars(select(LedgerEntry)).all() == []
        assert len(session.scalars(select(Settlement)).all()) == 2
    assert farm.mismatches() == 0
