"""The capacity bench: its smallest sample runs, and its least squares find what is there."""

from __future__ import annotations

import pytest

from renderfarm.trial.capacity import bench
from renderfarm.trial.capacity.alone import least_squares
from renderfarm.trial.ground import Ground


def test_costs_are_found_in_what_units_took_and_are_never_below_nothing() -> None:
    shapes = [[1, 1, 15], [1, 1, 90], [1, 2, 240]]
    took = [0.2 + 0.1 * spans + 0.01 * frames for _, spans, frames in shapes]
    assert least_squares(shapes, took) == pytest.approx([0.2, 0.1, 0.01])
    assert min(least_squares(shapes, [0.5, 0.4, 0.3])) == 0


def test_the_model_and_a_real_farm_do_the_same_jobs(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "WORKERS", {"v3": 1, "v4": 1, "cpu": 1})
    monkeypatch.setattr(bench, "CLIPS", (30,))
    told: list[str] = []
    measured = bench.capacity(ground, jobs=2, runs=1, seed=5, quick=True, tell=told.append)
    names = ["mean wait", "p95 completion", "makespan", "v3 busy", "v4 busy"]
    assert [figure.name.partition(":")[0] for figure in measured.figures] == names
    assert {line.partition(" ")[0] for line in told} == {"the", "farm,"}
    # How well is for a machine that does nothing else; here it is the same work, at least.
    assert next(each for each in measured.figures if each.name.startswith("makespan")).value < 100
