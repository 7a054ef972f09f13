"""The speed bench: its figures judge themselves, and its smallest sample runs."""

from __future__ import annotations

import pytest

from renderfarm.trial.ground import Ground
from renderfarm.trial.speed import crowd, latency
from renderfarm.trial.speed.figure import Figure


@pytest.mark.parametrize(
    ("value", "must", "goal", "verdict"),
    [
        (7.7, 7.0, 7.6, "goal"),
        (7.0, 7.0, 7.6, "met"),
        (6.9, 7.0, 7.6, "MISSED"),
        (20.0, 50.0, 20.0, "goal"),
        (50.0, 50.0, 20.0, "met"),
        (50.1, 50.0, 20.0, "MISSED"),
    ],
)
def test_a_figure_knows_whether_more_or_less_is_better(
    value: float, must: float, goal: float, verdict: str
) -> None:
    figure = Figure("speed", value, "x", must, goal)
    assert figure.row()["verdict"] == verdict
    assert (figure.met, figure.to_json()["goal_met"]) == (verdict != "MISSED", verdict == "goal")


def test_a_figure_without_a_bar_is_only_told() -> None:
    figure = Figure("speed", 3.0, "s")
    assert (figure.met, figure.row()["verdict"]) == (None, "")


def test_a_crowd_waits_and_the_messages_are_counted(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "QUICK_MANY", 30)
    monkeypatch.setattr(crowd, "_WATCHED_SECONDS", 1.0)
    measured = crowd.crowd(ground, True, lambda _: None)
    assert [figure.name.partition(",")[0] for figure in measured.figures] == [
        "submit",
        "status",
        "admission",
        "messages a worker",
    ]
    assert all(figure.value > 0 for figure in measured.figures)


def test_tiny_jobs_are_timed_to_their_first_unit(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "QUICK_JOBS", 3)
    measured = latency.latency(ground, True, lambda _: None)
    assert all(0 < figure.value < 60_000 for figure in measured.figures)
    assert len(measured.details["waits_ms"]) == 3
