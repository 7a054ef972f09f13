"""The ingress as it is deployed: gunicorn, two processes, two listeners."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

from renderfarm import accounts, credits
from renderfarm.db import Database, new_id
from renderfarm.local.ports import free_port, wait_for
from renderfarm.settings import Settings
from tests.clips import make_clip, make_picture
from tests.renderfarm.farm import Farm
from tests.services.processes import running
from tests.waiting import until


@dataclass(frozen=True)
class Served:
    """A running ingress."""

    url: str
    metrics_url: str
    pid: int
    secret: str
    temp: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}


@pytest.fixture
def served(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Served]:
    with database.begin() as session:
        account = accounts.create_account(session, f"alice {new_id('test')}")
        credits.grant(session, account.id, 100)
        _, secret = accounts.create_key(session, account.id)
    port, metrics_port = free_port(), free_port()
    temp = tmp_path / "tmp"
    temp.mkdir()
    (temp / "renderfarm-api-metrics-4194305-killed").mkdir()  # no process has so high a number
    env = os.environ | {
        "DATABASE_URL": settings.database_url,
        "FARM_STORAGE_URL": settings.storage_url,
        "FARM_API_BIND": f"127.0.0.1:{port}",
        "FARM_METRICS_PORT": str(metrics_port),
        "FARM_SILENCE_SECONDS": "2",
        "FARM_EVENT_STREAMS": "1",
        "FARM_LOG_FORMAT": "json",
        "FARM_EVENT_LOOK_SECONDS": "0.05",
        "TMPDIR": str(temp),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn_conf", "api:create_app()"]
    with running(command, port=port, env=env, log=tmp_path / "gunicorn.log") as process:
        assert wait_for(metrics_port, 10)
        yield Served(
            f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}", process.pid, secret, temp
        )
    assert list(temp.iterdir()) == []
    assert "Traceback" not in (tmp_path / "gunicorn.log").read_text()


def test_it_takes_a_render_and_shows_it(served: Served, tmp_path: Path) -> None:
    files = {
        "ref_image": make_picture(tmp_path / "a.png").read_bytes(),
        "driving_video": make_clip(tmp_path / "a.mp4").read_bytes(),
    }
    response = requests.post(f"{served.url}/api/render", headers=served.headers, files=files, timeout=30)
    assert response.status_code == 202
    shown = requests.get(f"{served.url}/api/render/{response.json()['job_id']}", timeout=30)
    assert shown.json()["status"] == "queued"


def test_its_metrics_count_over_all_processes_on_their_own_port_only(served: Served) -> None:
    for _ in range(20):
        # A new connection each: both processes get some.
        assert requests.get(f"{served.url}/healthz", timeout=30).status_code == 200
    assert 'renderfarm_process_info{component="api"' in _metrics(served)
    assert _HEALTHY in _metrics(served)

    assert requests.get(f"{served.url}/metrics", timeout=30).status_code == 404
    port = served.metrics_url.rpartition(":")[2]
    feigned = requests.get(f"{served.url}/metrics", headers={"Host": f"127.0.0.1:{port}"}, timeout=30)
    assert feigned.status_code == 404
    assert requests.get(f"{served.metrics_url}/healthz", timeout=30).status_code == 404

    # What a process counted that dies stays, and its files go.
    (folder,) = served.temp.glob(f"renderfarm-api-metrics-{served.pid}-*")
    file = next(folder.glob("histogram_*.db"))
    psutil.Process(int(file.stem.rpartition("_")[2])).kill()
    until(lambda: not file.exists())
    assert _HEALTHY in _metrics(served)


_HEALTHY = 'renderfarm_http_request_duration_seconds_count{route="/healthz",status="200"} 20.0'


def _metrics(served: Served) -> str:
    return requests.get(f"{served.metrics_url}/metrics", timeout=30).text


def test_a_wrong_key_is_answered_before_its_body_is_sent(served: Served) -> None:
    head, body = _exchange(
        served,
        b"POST /api/render HTTP/1.1\r\nHost: farm\r\nAuthorization: Bearer sk-wrong\r\nConnection: close\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 400000000\r\n\r\n",
    )
    assert head.startswith("HTTP/1.1 401 ")
    assert json.loads(body)["error_code"] == "CS-ORAU-002"


def test_what_is_no_http_is_refused_as_json_too(served: Served) -> None:
    for request, status, code in (
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "CS-UORC01-002"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431, "CS-UORC01-002"),
        (b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400, "CS-UORC01-002"),
        (b"\x16\x03\x01\x02\r\n\r\n", 400, "CS-UORC01-002"),
        (b"GET /none HTTP/1.1\r\nSCRIPT_NAME: /x\r\nConnection: close\r\n\r\n", 404, "CS-UORC01-115"),
    ):
        head, body = _exchange(served, request)
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert "Content-Type: application/json" in head
        assert re.search(r"^X-Request-ID: [0-9a-f]{32}\r?$", head, re.MULTILINE)
        assert json.loads(body)["error_code"] == code


def test_each_request_is_one_line_of_the_log_under_the_id_that_it_is_answered_with(
    served: Served, tmp_path: Path
) -> None:
    with requests.Session() as kept:  # one connection, and so one process
        ours = {**served.headers, "X-Request-ID": "mine-1", "Referer": "http://hush/"}
        asked = kept.get(f"{served.url}/api/render?status=queued&key=hush", headers=ours, timeout=30)
        assert asked.headers["X-Request-ID"] == "mine-1"
        stranger = kept.get(f"{served.url}/hush", headers={"X-Request-ID": "x" * 65}, timeout=30)
        assert stranger.status_code == 404
        kept.get(f"{served.url}/healthz", timeout=30)
    twice = b"GET /healthz HTTP/1.1\r\nX-Request-ID: a\r\nX-Request-ID: b\r\nConnection: close\r\n\r\n"
    assert re.search(r"^X-Request-ID: [0-9a-f]{32}\r?$", _exchange(served, twice)[0], re.MULTILINE)
    refused = _exchange(served, b"NO HTTP\r\n\r\n")[0]

    log = (tmp_path / "gunicorn.log").read_text()
    assert "hush" not in log
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["level"] for line in lines} == {"INFO"}, "no stranger wakes anybody"
    told = {line["request"]: line for line in lines if line["logger"] == "api.access"}
    assert set(told) == {"mine-1", stranger.headers["X-Request-ID"]}
    mine = told["mine-1"]
    assert (mine["method"], mine["route"], mine["status"]) == ("GET", "/api/render", 200)
    assert mine["account"].startswith("acct_") and mine["bytes"] == len(asked.content)
    assert "account" not in told[stranger.headers["X-Request-ID"]]
    assert told[stranger.headers["X-Request-ID"]]["route"] == "unknown"
    [line] = [line for line in lines if line["message"].startswith("Invalid request from")]
    assert f"X-Request-ID: {line['request']}" in refused


def test_chunks_that_are_none_are_the_senders_fault(served: Served) -> None:
    for kind in ("multipart/form-data; boundary=x", "application/json", "application/x-www-form-urlencoded"):
        head, body = _exchange(
            served,
            f"POST /api/render HTTP/1.1\r\nAuthorization: Bearer {served.secret}\r\nConnection: close\r\n"
            f"Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n".encode(),
        )
        assert head.startswith("HTTP/1.1 400 ")
        assert json.loads(body)["error_code"] == "CS-UORC01-002"


def test_whoever_falls_silent_in_an_upload_is_not_waited_for(served: Served, settings: Settings) -> None:
    started = time.monotonic()
    head, body = _exchange(
        served,
        f"POST /api/render HTTP/1.1\r\nAuthorization: Bearer {served.secret}\r\nConnection: close\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="ref_image"; filename="a"\r\n\r\n'.encode()
        + b"a" * 200_000,
    )
    assert head.startswith("HTTP/1.1 400 ")
    assert json.loads(body)["error_code"] == "CS-UORC01-002"
    assert time.monotonic() - started < 15
    assert not list(Path(settings.storage_url.removeprefix("file://")).rglob("*.part"))


def test_whoever_sends_byte_by_byte_is_not_waited_for_either(served: Served) -> None:
    """Never silent for the two seconds that end a connection, and yet no body that ever comes."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=0.5) as connection:
        connection.sendall(
            f"POST /api/render HTTP/1.1\r\nAuthorization: Bearer {served.secret}\r\nConnection: close\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n".encode()
        )
        answered = b""
        for _ in range(60):
            connection.sendall(b"-")
            with suppress(TimeoutError):
                answered = connection.recv(65536)
                break
    assert answered.startswith(b"HTTP/1.1 400 ")


def test_whoever_stops_reading_a_file_is_not_waited_for(served: Served, settings: Settings) -> None:
    size = 64 << 20  # more than the buffers on the way hold
    path = Path(settings.storage_url.removeprefix("file://")) / "out/job_1/large.mp4"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(size)
    assert len(requests.get(f"{served.url}/files/out/job_1/large.mp4", timeout=30).content) == size
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"GET /files/out/job_1/large.mp4 HTTP/1.1\r\n\r\n")
        time.sleep(10)  # some times over: the kernel takes in little by little
        assert sum(map(len, iter(lambda: connection.recv(1 << 20), b""))) < size


def test_whoever_leaves_a_stream_frees_its_place_and_all_end_with_their_process(
    served: Served, database: Database, settings: Settings
) -> None:
    farm = Farm(database, settings)
    url = f"{served.url}/api/render/{farm.submit(farm.account())}/events"

    opened: list[tuple[requests.Response, Iterator[bytes]]] = []

    def open_one() -> bool:
        answer = requests.get(url, stream=True, headers={"Connection": "close"}, timeout=20)
        if answer.status_code == 200:
            opened.append((answer, answer.iter_lines(1)))
            assert next(opened[-1][1]) == b"retry: 2000"
            return True
        assert answer.status_code == 429
        return False

    def all_taken() -> bool:
        """One by each of the two processes, whichever is asked first."""
        return open_one() and len(opened) == 2

    until(all_taken)
    assert not any(open_one() for _ in range(8))
    for answer, _ in opened:
        answer.close()
    opened.clear()
    until(all_taken)
    psutil.Process(served.pid).terminate()
    for answer, lines in opened:
        assert b"event: job" in list(lines), "it ends as it should, and is not cut off"
        answer.close()


def test_a_large_video_passes_through_without_being_held(served: Served, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "large.mp4")
    size = 96 << 20
    with clip.open("ab") as file:  # a box that players skip
        file.write(size.to_bytes(4, "big") + b"free")
        file.truncate(file.tell() + size - 8)
    requests.get(f"{served.url}/readyz", timeout=30)
    before = _memory(served.pid)
    files = {"ref_image": make_picture(tmp_path / "a.png").open("rb"), "driving_video": clip.open("rb")}
    request = requests.Request("POST", f"{served.url}/api/render", headers=served.headers, files=files)
    with requests.Session() as session:
        response = session.send(session.prepare_request(request), timeout=120)
    for file in files.values():
        file.close()
    assert response.status_code == 202
    assert _memory(served.pid) - before < 50 << 20


def _exchange(served: Served, request: bytes) -> tuple[str, bytes]:
    """The head and the body of what is answered to these bytes."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        answered = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = answered.partition(b"\r\n\r\n")
    return head.decode(), body


def _memory(pid: int) -> int:
    """The most that any of its workers has ever held."""
    peaks = []
    for child in psutil.Process(pid).children(recursive=True):
        status = Path(f"/proc/{child.pid}/status")
        if not status.exists():
            pytest.skip("this system does not tell a process's peak")
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        peaks.append(int(line.split()[1]) << 10)
    return max(peaks)


def test_an_address_cannot_have_all_threads_and_silent_peers_have_none(served: Served) -> None:
    """Connections that say nothing, and some that never end their head: others are answered meanwhile."""
    port = int(served.url.rpartition(":")[2])
    with ExitStack() as held:
        for number in range(80):
            peer = socket.create_connection(("127.0.0.1", port), 5, source_address=("127.0.0.2", 0))
            held.enter_context(closing(peer))
            if number % 2:
                with suppress(OSError):  # hung up on: it has its share
                    peer.sendall(b"GET /healthz HTTP/1.1\r\nX")
        for _ in range(4):
            assert requests.get(f"{served.url}/healthz", timeout=5).status_code == 200
