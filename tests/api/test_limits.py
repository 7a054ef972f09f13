"""How often one may ask."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from renderfarm.db import Database, new_id
from renderfarm.local.ports import free_port
from renderfarm.settings import Settings
from tests.api.conftest import caller_of, error_of

Open = Callable[..., FlaskClient]
NOBODYS_JOB = "/api/render/job_" + "0" * 24


@pytest.fixture
def limited(settings: Settings, redis_url: str) -> Iterator[Open]:
    """Opens the ingress with these limits; an hour's windows, so that none ends in a test."""
    with ExitStack() as closing:

        def open_with(**limits: Any) -> FlaskClient:
            app = create_app(replace(settings, **{"redis_url": redis_url} | limits))
            closing.callback(app.extensions["farm"].database.close)
            return app.test_client()

        yield open_with


def _from(address: str) -> dict[str, Any]:
    return {"environ_overrides": {"REMOTE_ADDR": address}}


def test_an_address_may_ask_so_often_and_no_more(limited: Open) -> None:
    client, here = limited(rate_limit_address="3/hour"), _from(new_id("address"))
    left = []
    for _ in range(3):
        response = client.get(NOBODYS_JOB, **here)
        assert error_of(response, 404) == "CS-UORC01-110"
        left.append(response.headers["RateLimit"].partition(";t=")[0])
    assert left == [f'"address";r={n}' for n in (2, 1, 0)]
    assert response.headers["RateLimit-Policy"] == '"address";q=3;w=3600'

    refused = client.get(NOBODYS_JOB, **here)
    assert error_of(refused, 429) == "CS-UORC01-111"
    assert 0 < int(refused.headers["Retry-After"]) <= 3601
    assert client.get(NOBODYS_JOB, **_from(new_id("address"))).status_code == 404
    assert client.get("/healthz", **here).status_code == 200


def test_a_key_may_ask_so_often_from_wherever_it_is(limited: Open, database: Database) -> None:
    client = limited(rate_limit_key="2/hour")
    alice, bob = (caller_of(client, database, name) for name in ("alice", "bob"))
    answers = [alice.get("/api/render", **_from(new_id("address"))).status_code for _ in range(3)]
    assert answers == [200, 200, 429]
    assert bob.get("/api/render").status_code == 200


def test_something_to_be_made_is_counted_apart(limited: Open, database: Database) -> None:
    alice = caller_of(limited(rate_limit_render="1/hour"), database, "alice")
    assert error_of(alice.post({}), 400) == "CS-ORIV-001"
    assert error_of(alice.post({}), 429) == "CS-UORC01-111"
    assert alice.get("/api/render").status_code == 200


def test_an_address_is_believed_from_so_many_proxies_only(limited: Open) -> None:
    forwarded = {"X-Forwarded-For": f"{new_id('feigned')}, {new_id('real')}"}
    open_door, behind = (
        limited(rate_limit_address="1/hour"),
        limited(rate_limit_address="1/hour", trusted_proxies=1),
    )
    here = _from(new_id("address"))
    assert open_door.get(NOBODYS_JOB, headers=forwarded, **here).status_code == 404
    assert open_door.get(NOBODYS_JOB, headers={}, **here).status_code == 429
    assert behind.get(NOBODYS_JOB, headers=forwarded, **here).status_code == 404
    assert behind.get(NOBODYS_JOB, headers=forwarded, **_from(new_id("proxy"))).status_code == 429


def test_without_redis_everybody_is_let_through_and_soon(
    limited: Open, caplog: pytest.LogCaptureFixture
) -> None:
    client = limited(redis_url=f"redis://127.0.0.1:{free_port()}/0", rate_limit_address="1/hour")
    caplog.set_level(logging.INFO, "api.limits")
    began = time.monotonic()
    for _ in range(20):
        assert client.get(NOBODYS_JOB).status_code == 404
    assert time.monotonic() - began < 2
    assert sum("nobody's requests are counted" in record.message for record in caplog.records) == 1


def test_a_redis_that_is_late_once_is_no_warning_and_one_that_stays_away_is(
    limited: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = limited(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    caplog.set_level(logging.INFO, "api.limits")
    monkeypatch.setattr("api.limits._SHUNNED", 0.0)
    for _ in range(2):
        client.get(NOBODYS_JOB)
    said = [record.levelname for record in caplog.records if "nobody's requests" in record.message]
    assert said == ["INFO", "WARNING"]
