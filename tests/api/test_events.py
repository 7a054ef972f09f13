"""A job followed by its events: what a stream tells, when it ends, and what it costs the others."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import events
from api.context import Farm
from renderfarm.client import Client, ClientError
from renderfarm.settings import Settings
from tests.api.conftest import Caller, error_of
from tests.api.test_jobs import set_job
from tests.waiting import until


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, event_look_seconds=0.02, event_streams=8)  # two for one address


@pytest.fixture
def job_id(alice: Caller, upload: dict[str, Any]) -> str:
    found: str = alice.post(upload).get_json()["job_id"]
    return found


class Stream:
    """A stream, read event by event."""

    def __init__(self, client: FlaskClient, job_id: str, **more: Any) -> None:
        self.response: TestResponse = client.get(f"/api/render/{job_id}/events", **more)
        self._blocks: Iterator[bytes | str] = iter(self.response.response)

    def block(self) -> str:
        """What comes next, whatever it is."""
        block = next(self._blocks)
        return block if isinstance(block, str) else block.decode()

    def event(self) -> tuple[int, dict[str, Any]]:
        """The next event: its id and its job."""
        kind, number, data, *end = self.block().split("\n")
        assert kind == "event: job"
        assert end == ["", ""]
        return int(number.removeprefix("id: ")), json.loads(data.removeprefix("data: "))

    def ends(self) -> bool:
        return next(self._blocks, None) is None

    def close(self) -> None:
        self.response.close()


@pytest.fixture
def follow(client: FlaskClient) -> Iterator[Any]:
    opened: list[Stream] = []

    def begin(job_id: str, **more: Any) -> Stream:
        opened.append(Stream(client, job_id, **more))
        return opened[-1]

    yield begin
    for stream in opened:
        stream.close()
    until(lambda: _watching() == 0)


def _watching() -> int:
    return [each.name for each in threading.enumerate()].count("watching")


def test_the_job_is_told_at_once_then_as_it_changes_and_last_as_it_ended(
    client: FlaskClient, farm: Farm, follow: Any, job_id: str
) -> None:
    stream = follow(job_id)
    assert stream.response.status_code == 200
    assert stream.response.mimetype == "text/event-stream"
    assert stream.response.headers["Cache-Control"] == "no-store"
    assert len(stream.response.headers["X-Request-ID"]) == 32
    assert stream.block() == "retry: 2000\n\n"
    first, job = stream.event()
    assert job == client.get(f"/api/render/{job_id}").get_json()
    set_job(farm, job_id, status="processing", checkpoint="ref_done")
    second, job = stream.event()
    assert (job["status"], job["checkpoint"], job["queue_position"]) == ("processing", "ref_done", None)
    set_job(farm, job_id, status="complete", outputs={"output": f"out/{job_id}/output.mp4"})
    third, job = stream.event()
    assert job == client.get(f"/api/render/{job_id}").get_json()
    assert job["cdn_url"].endswith("/output.mp4")
    assert stream.ends()
    assert first < second < third


def test_whoever_comes_back_gets_greater_numbers_and_after_the_last_event_nothing(
    farm: Farm, follow: Any, job_id: str
) -> None:
    ahead = 10**17  # seen of a process whose clock is far ahead
    stream = follow(job_id, headers={"Last-Event-ID": str(ahead)})
    stream.block()
    assert stream.event()[0] > ahead
    set_job(farm, job_id, status="failed")
    last, _ = stream.event()
    assert follow(job_id, headers={"Last-Event-ID": str(last)}).response.status_code == 204
    for before in (str(ahead), "nonsense", "9" * 40):
        again = follow(job_id, headers={"Last-Event-ID": before})
        again.block()
        assert again.event()[1]["status"] == "failed"
        again.close()


def test_a_quiet_stream_says_that_it_is_there(
    follow: Any, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_QUIET", 0.01)
    stream = follow(job_id)
    stream.block()
    stream.event()
    assert [stream.block() for _ in range(2)] == [": keep-alive\n\n"] * 2


def test_no_more_streams_are_open_than_may_be_and_each_frees_its_place(
    client: FlaskClient, farm: Farm, follow: Any, job_id: str
) -> None:
    begun, never_begun = follow(job_id), follow(job_id)
    begun.block()
    refused = client.get(f"/api/render/{job_id}/events")
    assert error_of(refused, 429) == "CS-UORC01-111"
    assert int(refused.headers["Retry-After"]) > 0
    assert client.get(f"/api/render/{job_id}").status_code == 200, "asking is not streaming"
    for stream in (begun, never_begun):
        stream.close()
        stream.close()
        assert farm.watching.open < 2
    assert farm.watching.open == 0
    set_job(farm, job_id, status="cancelled")
    last = follow(job_id)
    last.block()
    last.event()
    assert last.ends()
    last.close()  # as the server does at the end
    assert farm.watching.open == 0


def test_one_look_serves_all_streams(farm: Farm, follow: Any, job_id: str) -> None:
    streams = [follow(job_id), follow(job_id)]
    for stream in streams:
        stream.block()
        stream.event()
    assert _watching() == 1
    set_job(farm, job_id, status="processing")
    assert [stream.event()[1]["status"] for stream in streams] == ["processing"] * 2
    for stream in streams:
        stream.close()
    until(lambda: _watching() == 0)


def test_a_stream_ends_after_its_time_and_with_its_process(
    app: Flask, farm: Farm, follow: Any, job_id: str
) -> None:
    stream = follow(job_id)
    stream.block()
    stream.event()
    farm.watching.goes_on = lambda: False
    assert stream.ends()
    app.extensions["farm"] = replace(farm, settings=replace(farm.settings, event_stream_seconds=0.05))
    short = follow(job_id)
    assert [short.block()[:6], short.event()[1]["status"], short.ends()] == ["retry:", "queued", True]


def test_the_client_waits_by_being_told(farm: Farm, alice: Caller, url: str, job_id: str) -> None:
    with Client(url, alice.secret) as client:
        told = client.events(job_id)
        assert next(told)["status"] == "queued"
        set_job(farm, job_id, status="processing")
        assert next(told)["status"] == "processing"
        set_job(farm, job_id, status="complete")
        assert [job["status"] for job in told] == ["complete"]
        assert client.wait(job_id)["status"] == "complete"
        with pytest.raises(ClientError, match="not found"):
            next(client.events("job_" + "0" * 24))
    until(lambda: _watching() == 0)
