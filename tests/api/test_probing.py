"""Uploads are probed a few at a time, and nobody waits for a turn for good."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from api import create_app
from api.context import Farm
from api.probing import Probing
from renderfarm.db import Database
from renderfarm.settings import Settings
from tests.api.conftest import assert_untouched, caller_of, error_of
from tests.waiting import until


def test_no_more_probe_at_once_than_the_share_of_a_process(settings: Settings) -> None:
    probing = Probing(replace(settings, probes_at_once=4, api_processes=2))
    together = threading.Barrier(2)
    inside, most = set[int](), list[int]()

    def probe(number: int) -> None:
        with probing.turn("anyone"):
            inside.add(number)
            most.append(len(inside))
            together.wait(30)  # both turns are used, or this never ends
            inside.discard(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(probe, range(8)))
    assert max(most) == 2


def test_who_waits_in_vain_is_told_to_come_back_and_leaves_nothing(
    settings: Settings, database: Database, upload: dict[str, Any]
) -> None:
    app = create_app(replace(settings, probes_at_once=1, probe_wait_seconds=0.1))
    farm: Farm = app.extensions["farm"]
    alice = caller_of(app.test_client(), database, "alice")
    with farm.probing.turn("anyone"):
        response = alice.post(upload)
    assert error_of(response, 429) == "CS-UORC01-111"
    assert int(response.headers["Retry-After"]) > 0
    assert_untouched(farm, alice)
    farm.database.close()


def test_a_probe_that_fails_gives_its_turn_back(settings: Settings) -> None:
    probing = Probing(replace(settings, probes_at_once=1, probe_wait_seconds=0.1))
    for _ in range(2):  # the second finds the turn free, or is refused with another error
        with pytest.raises(ZeroDivisionError), probing.turn("anyone"):
            raise ZeroDivisionError


def test_an_account_has_no_more_than_its_share_while_another_waits(settings: Settings) -> None:
    probing = Probing(replace(settings, probes_at_once=4, api_processes=2))
    both, go_on, other_was_in = threading.Barrier(3), threading.Event(), threading.Event()
    in_time: list[bool] = []

    def first() -> None:
        with probing.turn("busy"):
            both.wait(20)
            go_on.wait(20)

    def more() -> None:
        with probing.turn("busy"):
            in_time.append(other_was_in.wait(10))

    def other() -> None:
        with probing.turn("other"):
            other_was_in.set()

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(first) for _ in range(2)]
        both.wait(20)  # alone, it has both turns
        asked += [pool.submit(more) for _ in range(3)]
        until(lambda: probing._waiting["busy"] == 3)
        asked.append(pool.submit(other))
        until(lambda: probing._waiting["other"] == 1)
        go_on.set()
        for each in asked:
            each.result()
    assert in_time == [True, True, True]
