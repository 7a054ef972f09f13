"""Finished files of the embedded store, over HTTP."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from api.context import Farm
from tests.api.conftest import error_of

KEY = "out/job_1/0123abcd.mp4"
DATA = bytes(range(256)) * 40


@pytest.fixture
def stored(farm: Farm) -> str:
    for key in (KEY, "in/acct/secret", "work/job_1/plate"):
        with farm.storage.writer(key) as out:
            out.write(DATA)
            out.commit()
    return f"/files/{KEY}"


def test_a_finished_file_is_served_whole_and_for_ever(client: FlaskClient, stored: str) -> None:
    response = client.get(stored, buffered=True)
    assert response.status_code == 200
    assert response.data == DATA
    assert response.mimetype == "video/mp4"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["ETag"] == '"0123abcd"'


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-0", 0, 1), ("100-199", 100, 200), ("10000-", 10000, 10240), ("-5", 10235, 10240)],
)
def test_a_range_of_it_is_served(client: FlaskClient, stored: str, asked: str, start: int, stop: int) -> None:
    response = client.get(stored, buffered=True, headers={"Range": f"bytes={asked}"})
    assert response.status_code == 206
    assert response.data == DATA[start:stop]
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"


def test_a_range_beyond_its_end_is_refused(client: FlaskClient, stored: str) -> None:
    assert (
        error_of(client.get(stored, buffered=True, headers={"Range": "bytes=99999-"}), 416) == "CS-UORC01-002"
    )


def test_whoever_has_it_already_is_told_so(client: FlaskClient, stored: str) -> None:
    response = client.get(stored, buffered=True, headers={"If-None-Match": '"0123abcd"'})
    assert response.status_code == 304
    assert response.data == b""
    assert "immutable" in response.headers["Cache-Control"]


def test_its_head_alone_can_be_asked_for(client: FlaskClient, stored: str) -> None:
    response = client.head(stored, buffered=True)
    assert (response.status_code, response.content_length, response.data) == (200, len(DATA), b"")


@pytest.mark.parametrize(
    "key",
    ["in/acct/secret", "work/job_1/plate", "out/../in/acct/secret", "out/..%2f..%2fetc/passwd", "out/", "out",
     "out/job_1", "out/job_1/", "out//job_1", "out/job_1/none.mp4", "out/%00", "/etc/passwd", "out/.hidden",
     "out/" + "a" * 300, "out/" + "a/" * 1900 + "a"],
)  # fmt: skip
def test_nothing_else_is_served(client: FlaskClient, stored: str, key: str) -> None:
    response = client.get(f"/files/{key}")
    assert error_of(response, 404) == "CS-UORC01-115"
    assert response.headers["Cache-Control"] == "no-store"
