"""Streams that are made ahead of who reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from pipeline.ahead import ahead
from tests.waiting import until


def test_everything_comes_in_order() -> None:
    assert list(ahead(range(100), 3)) == list(range(100))


def test_it_is_made_in_another_thread_and_not_farther_ahead_than_asked() -> None:
    made: list[tuple[int, int]] = []

    def numbers() -> Iterator[int]:
        for number in range(50):
            made.append((number, threading.get_ident()))
            yield number

    with closing(ahead(numbers(), 3)) as stream:
        assert next(stream) == 0
        until(lambda: len(made) == 5)  # the one that was taken, three that wait, one in hand
        assert {thread for _, thread in made} != {threading.get_ident()}
    assert len(made) == 5


def test_an_error_comes_after_what_was_made_before_it() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    stream = ahead(breaks())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_closing_it_closes_the_stream_and_ends_its_thread() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    stream = ahead(endless(), 1)
    next(stream)
    stream.close()
    assert closed.is_set() and threading.active_count() == before
