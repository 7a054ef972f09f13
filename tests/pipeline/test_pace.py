"""A pace is kept from the first beginning on."""

from __future__ import annotations

from pipeline.pace import Pace


class Clock:
    """Goes on when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def ends(clock: Clock, pace: Pace, *work: float) -> list[float]:
    """When each piece of so much work has ended, counted from the start of the first."""
    start, times = clock.now, []
    for seconds in work:
        pace.begin()
        clock.pass_(seconds)
        pace.end()
        times.append(round(clock.now - start, 6))
    return times


def test_quick_work_ends_at_its_beat() -> None:
    clock = Clock()
    assert ends(clock, Pace(0.2, clock, clock.pass_), 0.01, 0.15, 0.0) == [0.2, 0.4, 0.6]


def test_late_work_ends_at_once_and_the_next_is_in_time_again() -> None:
    clock = Clock()
    assert ends(clock, Pace(0.2, clock, clock.pass_), 0.01, 0.3, 0.01, 0.01) == [0.2, 0.5, 0.6, 0.8]
