"""What stands before the compose stack: a real nginx with its configuration, the real ingress behind it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from renderfarm import accounts, credits
from renderfarm.db import Database
from renderfarm.local.ports import free_port
from tests.clips import make_clip, make_picture
from tests.services.debian import Unavailable
from tests.services.nginx import nginx_server
from tests.services.postgres import PostgresServer
from tests.services.processes import running

TEMPLATES = [
    "cdn.conf.template",
    "s3.conf.template",
    "front.conf.template",
    "operators.conf.template",
    "operators.htpasswd.template",
]
VARIABLES = {
    "CDN_ORIGIN": "http://127.0.0.1:9",
    "CDN_BUCKET": "renders",
    "CDN_REGION": "us-east-1",
    "CDN_ACCESS_KEY": "cdn",
    "CDN_SECRET_KEY": "secret-of-the-bucket",
    "CDN_STYLE": "secure-link",
    "CDN_LINK_SECRET": "secret-of-links",
    "CDN_PURGE_SECRET": "secret-of-purges-1",
    "CDN_CACHE_SIZE": "10m",
    "OPERATORS_PASSWORD": "secret-of-operators",
}


@dataclass(frozen=True)
class Front:
    """Where the two ports lead, and a key for the API behind the first."""

    url: str
    operators: str
    key: str


@pytest.fixture(scope="module")
def front(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder, database = tmp_path_factory.mktemp("front"), Database(postgres.fresh_database())
    with database.begin() as session:
        account = accounts.create_account(session, "studio")
        credits.grant(session, account.id, 100)
        _, key = accounts.create_key(session, account.id)
    database.close()
    api, public, private = free_port(), free_port(), free_port()
    env = os.environ | {
        "DATABASE_URL": database.url,
        "FARM_STORAGE_URL": f"file://{folder}/store",
        "FARM_API_BIND": f"127.0.0.1:{api}",
        "FARM_API_PROCESSES": "1",
        "FARM_EVENT_STREAMS": "1",
        "FARM_TRUSTED_PROXIES": "1",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn_conf", "api:create_app()"]
    here = {
        "listen 8000": f"listen 127.0.0.1:{public}",
        "listen 8001": f"listen 127.0.0.1:{private}",
        "http://api:8080": f"http://127.0.0.1:{api}",
        "http://prometheus:9090": f"http://127.0.0.1:{api}",
    }
    try:
        with (
            running(command, port=api, env=env, log=folder / "api.log"),
            nginx_server(folder / "nginx", TEMPLATES, VARIABLES, here),
        ):
            yield Front(f"http://127.0.0.1:{public}", f"http://127.0.0.1:{private}", key)
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_a_render_goes_in_by_it_and_its_events_come_out_as_they_happen(front: Front, tmp_path: Path) -> None:
    files = {
        "ref_image": make_picture(tmp_path / "a.png").read_bytes(),
        "driving_video": make_clip(tmp_path / "a.mp4").read_bytes(),
    }
    headers = {"Authorization": f"Bearer {front.key}", "X-Request-ID": "mine-1"}
    sent = requests.post(f"{front.url}/api/render", headers=headers, files=files, timeout=30)
    assert sent.status_code == 202
    job = sent.json()["job_id"]
    events = f"{front.url}/api/render/{job}/events"
    with requests.get(events, headers=headers, stream=True, timeout=10) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert next(stream.iter_lines()), "at once, and not when a buffer is full"


def test_who_may_not_send_is_told_before_the_file_has_passed(front: Front) -> None:
    host, _, port = front.url.removeprefix("http://").partition(":")
    request = (
        f"POST /api/render HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer sk-wrong\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 400000000\r\n\r\n"
    )
    with closing(socket.create_connection((host, int(port)), timeout=10)) as peer:
        peer.sendall(request.encode())
        assert peer.recv(100).startswith(b"HTTP/1.1 401 ")


def test_finished_videos_are_the_cdns_and_its_other_doors_are_shut(front: Front) -> None:
    video = requests.get(f"{front.url}/out/job_1/{'0' * 64}.mp4", timeout=10)
    assert video.status_code == 403, "no signature"
    assert "X-Cache-Status" in video.headers or "Cache-Control" in video.headers
    headers = {"X-CDN-Purge": VARIABLES["CDN_PURGE_SECRET"]}
    purged = requests.get(f"{front.url}/purge/out/a.mp4", headers=headers, timeout=10)
    assert purged.status_code == 404 and purged.json()["error_code"], "the API knows no such place"


def test_operators_pages_ask_for_the_password(front: Front) -> None:
    page = f"{front.operators}/prometheus/healthz"
    assert requests.get(page, timeout=10).status_code == 401
    assert requests.get(page, auth=("operator", "guessed"), timeout=10).status_code == 401
    shown = requests.get(page, auth=("operator", VARIABLES["OPERATORS_PASSWORD"]), timeout=10)
    assert shown.json()["status"] == "ok", "below its prefix is the service itself"
    first = requests.get(front.operators, allow_redirects=False, timeout=10)
    assert first.headers["Location"] == "/grafana/"
