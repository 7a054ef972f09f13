"""The heartbeat keeps the lease, and knows when it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from tests.waiting import until
from workers.heart import Heart, Reason, Stopped


def heart_of(beat: Callable[[int, int], bool], lease: float = 60) -> Heart:
    return Heart(beat, claimed_at=time.monotonic(), lease=lease, every=0.01)


def stops(heart: Heart) -> bool:
    try:
        heart.check()
    except Stopped as stopped:
        return stopped.reason is Reason.LOST
    return False


def test_it_reports_the_progress_last_noted() -> None:
    heard: list[tuple[int, int]] = []
    with heart_of(lambda done, total: heard.append((done, total)) or True) as heart:
        heart.advance(7, 100)
        until(lambda: (7, 100) in heard)
        heart.check()


def test_the_work_stops_when_the_farm_says_no() -> None:
    with heart_of(lambda done, total: False) as heart:
        until(lambda: stops(heart))


def test_an_absent_database_is_asked_again_and_stops_nothing_while_the_lease_lasts() -> None:
    answers = iter([OperationalError("", {}, Exception("gone")), None])
    answered = threading.Event()

    def beat(done: int, total: int) -> bool:
        error = next(answers, None)
        if error:
            raise error
        answered.set()
        return True

    with heart_of(beat) as heart:
        assert answered.wait(20)
        heart.check()


def test_the_work_stops_when_nobody_could_be_told_for_as_long_as_the_lease_lasts() -> None:
    def beat(done: int, total: int) -> bool:
        raise OperationalError("", {}, Exception("gone"))

    with heart_of(beat, lease=0.1) as heart:
        until(lambda: stops(heart))


def test_a_beat_that_hangs_keeps_no_lease() -> None:
    hanging = threading.Event()

    def beat(done: int, total: int) -> bool:
        return hanging.wait(20)

    with heart_of(beat, lease=0.1) as heart:
        until(lambda: stops(heart))
        hanging.set()


def test_it_beats_no_more_after_the_block() -> None:
    beats: list[int] = []
    with heart_of(lambda done, total: beats.append(done) or True) as heart:
        until(lambda: beats)
    assert not heart._thread.is_alive()


def test_a_stop_says_why() -> None:
    with pytest.raises(Stopped, match="lost"):
        raise Stopped(Reason.LOST)
