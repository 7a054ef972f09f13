"""A seeded sample of the faults, each on a farm of real processes."""

from __future__ import annotations

import pytest

from pipeline.spec import RENDER
from renderfarm.crash import Point
from renderfarm.trial import bench, checks
from renderfarm.trial.case import Case, Fault, try_out, undisturbed
from renderfarm.trial.farm import QUICK
from renderfarm.trial.ground import Ground
from renderfarm.trial.kinds import every
from renderfarm.trial.mixture import mixture

#: Which, the seed says. ``farm bench faults`` has them all.
SEED = 20
SAMPLE = bench.sample(every(), SEED, 1)


@pytest.fixture(scope="module")
def truth(ground: Ground) -> checks.Truth:
    return undisturbed(ground, [QUICK["engine_v4"]])  # nothing here upgrades the farm


@pytest.mark.parametrize("fault", SAMPLE, ids=lambda fault: fault.name)
def test_nothing_is_lost(ground: Ground, truth: checks.Truth, fault: Fault) -> None:
    found = try_out(ground, fault, truth)
    assert not found.wrong, found.logs


def test_nothing_is_lost_in_a_mixture(ground: Ground, truth: checks.Truth) -> None:
    found = try_out(ground, mixture(SEED, 4), truth)
    assert not found.wrong, found.logs


def test_what_is_lost_is_found(ground: Ground, truth: checks.Truth) -> None:
    """The checks themselves: a farm that is robbed is not passed."""

    def rob(case: Case) -> None:
        case.farm.wait_ended(case.submit(1))
        key = case.farm.job(case.jobs[0]).outputs["output"]
        with case.farm.store.writer(key) as out:
            out.write(b"something else")
            out.commit()
        case.farm.store.put("out/nobody/file", ground.picture)

    found = try_out(ground, Fault(name="a robbery", act=rob, farm={"workers": {"v4": 1, "cpu": 1}}), truth)
    said = " ".join(found.wrong)
    assert "the outputs are not those of an undisturbed job" in said
    assert "output is not what its row says" in said
    assert "an orphan in the store: out/nobody/file" in said
    assert len(found.wrong) == 3, found.wrong


def test_of_cancel_and_finish_exactly_one_wins(ground: Ground) -> None:
    found = bench.duels(ground, 40)
    assert not found.wrong
    assert sum(found.ends.values()) == 40
    assert min(found.ends.values()) > 0, "they did not meet"


def test_every_crash_point_has_its_fault_in_every_stage_that_passes_it() -> None:
    points = {fault.point for fault in every()}
    assert points >= set(Point) - {Point.DELIVERED}  # a courier's, whose own tests kill it there
    names = [fault.name for fault in every()]
    assert len(set(names)) == len(names)
    for stage in RENDER:
        assert f"a worker dies when finished in {stage}" in names


def test_a_sample_is_the_same_for_the_same_seed_and_has_something_of_every_room() -> None:
    names = [fault.name for fault in bench.sample(every(), 7, 30)]
    assert names == [fault.name for fault in bench.sample(every(), 7, 30)]
    assert names != [fault.name for fault in bench.sample(every(), 8, 30)]
    assert {fault.room for fault in bench.sample(every(), 7, 30)} == {fault.room for fault in every()}


def test_a_farm_that_waits_holds_few_messages(ground: Ground) -> None:
    found = bench.waiting(ground, 100, seconds=3)
    assert not found.wrong
