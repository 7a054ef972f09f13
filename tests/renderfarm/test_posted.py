"""Receivers that want to be left alone for a while."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from renderfarm.fetch import Guarded, Posted
from renderfarm.settings import Settings
from tests.services.hostile import Host, host


@pytest.fixture(scope="module")
def receiver() -> Iterator[Host]:
    with host() as server:
        yield server


def posted(receiver: Host, head: str) -> Posted:
    """What is made of an answer that begins so."""
    answer = f"{head}Content-Length: 0\r\n\r\n".encode()
    receiver.scripts["/hook"] = lambda sock: sock.sendall(answer)
    settings = Settings(
        database_url="none", development=True, fetch_private=True, fetch_ports=f"80,443,{receiver.port}"
    )
    return Guarded(settings).post(f"http://127.0.0.1:{receiver.port}/hook", b"{}", {}, 5)


@pytest.mark.parametrize(
    ("status", "asked", "least", "most"),
    [
        (503, "120", 120, 120),
        (429, " 0 ", 0, 0),
        (503, "999999", 86_400, 86_400),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", 86_400, 86_400),
        (503, "Sun, 06 Nov 1994 08:49:37 -0000", 0, 0),
    ],
)
def test_a_host_that_asks_for_time_is_heard(
    receiver: Host, status: int, asked: str, least: float, most: float
) -> None:
    answer = posted(receiver, f"HTTP/1.1 {status} Later\r\nRetry-After: {asked}\r\n")
    assert answer.retry_after is not None
    assert answer.status == status and least <= answer.retry_after <= most


def test_a_host_may_name_a_date(receiver: Host) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    wait = posted(receiver, f"HTTP/1.1 429 Later\r\nRetry-After: {at}\r\n").retry_after
    assert wait is not None and 3500 < wait <= 3600


@pytest.mark.parametrize(
    "head",
    [
        "503 Later\r\n",
        "500 Oops\r\nRetry-After: 120\r\n",
        "200 OK\r\nRetry-After: 120\r\n",
        *(
            f"503 Later\r\nRetry-After: {asked}\r\n"
            for asked in (
                "",
                "soon",
                "-5",
                "1.5",
                "1e3",
                "9" * 20,
                "٣",
                "Fri, 99 Foo 2026",
                "1\r\nRetry-After: 2",
            )
        ),
    ],
)
def test_what_asks_for_no_time_gives_none(receiver: Host, head: str) -> None:
    assert posted(receiver, f"HTTP/1.1 {head}") == Posted(int(head[:3]))
