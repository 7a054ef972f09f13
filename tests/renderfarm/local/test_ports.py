"""Free ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from renderfarm.local.ports import answers, free_port, wait_for


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def busy(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port on which somebody listens, on loopback alone or on every address."""
    with socket.socket() as listener:
        listener.bind((request.param, 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_the_preferred_port_is_taken_while_it_is_free() -> None:
    port = free_port()
    assert free_port(port) == port


def test_a_busy_port_gives_way_to_another(busy: int) -> None:
    assert answers(busy)
    other = free_port(busy)
    assert other != busy
    assert not answers(other)


def test_a_port_that_was_just_given_away_is_not_given_twice() -> None:
    port = free_port()
    assert free_port(port, taken={port}) != port


def test_waiting_for_nobody_ends() -> None:
    assert not wait_for(free_port(), 0.2)
