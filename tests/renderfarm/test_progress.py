"""What a user sees of a job: its stage, its percentage and how long it still takes."""

from __future__ import annotations

from pipeline.spec import RENDER, Stage
from pipeline.units import items_of
from renderfarm.models import Job
from renderfarm.stages import WEIGHTS
from tests.renderfarm.farm import Farm


def test_the_weights_are_those_of_all_stages_and_a_renders_make_a_hundred() -> None:
    assert set(WEIGHTS) == set(Stage)
    assert sum(WEIGHTS[stage] for stage in RENDER) == 100


def test_a_waiting_job_is_at_nothing(farm: Farm) -> None:
    shown = farm.progress(farm.submit(farm.account()))
    assert (shown.stage, shown.done, shown.pct, shown.eta_seconds) == ("reference", 0, 0, None)


def test_the_percentage_weighs_the_stages_and_counts_their_frames(farm: Farm) -> None:
    job = farm.submit(farm.account())
    farm.do(job, Stage.REFERENCE)
    claim = farm.take(f"{job}:analyse:0")
    assert farm.beat(claim, 300, 600)
    shown = farm.progress(job)
    assert (shown.stage, shown.done, shown.total) == ("analyse", 300, 600)
    assert shown.pct == int(4 + 45 / 2)
    farm.turn_back(Job, job, "started_at", 53)
    eta = farm.progress(job).eta_seconds
    assert eta is not None
    assert 140 < eta < 155  # 26.5% took 53 s, so the rest takes 147 s


def test_the_percentage_never_goes_back_and_reaches_a_hundred_only_at_the_end(farm: Farm) -> None:
    job = farm.submit(farm.account())
    seen = [0]

    def look() -> None:
        seen.append(farm.progress(job).pct)

    for stage in RENDER:
        claim = farm.take(f"{job}:{stage.value}:0")
        farm.beat(claim, 1, 2)
        look()
        if claim.spans:
            farm.add_item(claim, *items_of(stage, claim.spec, claim.spans[0]))
        farm.hand_over(claim)  # and the next attempt starts again, after what was finished
        look()
        again = farm.take(claim.unit_id)
        farm.beat(again, 1, 100)
        look()
        farm.hand_over(again)
        farm.do(job, stage)
        assert stage is Stage.STITCH or farm.progress(job).pct < 100
        look()
    assert seen == sorted(seen)
    assert seen[-1] == 100
    last = farm.progress(job)
    assert (last.stage, last.eta_seconds) == ("stitch", 0.0)


def test_a_resumed_attempt_counts_from_what_was_finished(farm: Farm) -> None:
    job = farm.submit(farm.account())
    claim = farm.take(f"{job}:analyse:0")
    farm.add_item(claim, "piece-0000", "matte-0000")
    farm.hand_over(claim)
    again = farm.take(claim.unit_id)
    assert farm.beat(again, 150, 300)
    assert farm.progress(job).done == 450


def test_a_job_that_failed_stays_where_it_was(farm: Farm) -> None:
    job = farm.submit(farm.account())
    claim = farm.take(f"{job}:analyse:0")
    farm.beat(claim, 300, 600)
    farm.fail(claim, retryable=False)
    shown = farm.progress(job)
    assert (shown.pct, shown.eta_seconds) == (22, None)
