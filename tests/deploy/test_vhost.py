"""What stands before the API: a real nginx with our configuration, before a server that tells what it saw."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from renderfarm import context
from renderfarm.errors import TABLE
from renderfarm.local.ports import free_port
from tests.services.debian import Unavailable
from tests.services.nginx import Nginx, nginx_server
from tests.waiting import until

VARIABLES = {"STORE_BUCKET": "renders", "API_MAX_BODY_MB": "1", "NGINX_LOCAL_RESOLVERS": "127.0.0.1"}
#: Where a part of an upload goes.
PART = "/renders/in/acct_1/up_1.mp4?uploadId=a%2Fb&partNumber=1&X-Amz-Signature=0f"


@dataclass
class Origin:
    """A server that answers with the request's head, and streams when it is told to."""

    server: ThreadingHTTPServer
    seen: list[str] = field(default_factory=list)
    body: bytes = b""
    goes_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    origin: Origin

    def do_GET(self) -> None:
        self.origin.seen.append(self.path)
        if self.path.endswith("/events"):
            self._stream()
            return
        said = json.dumps({"path": self.path, "head": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("X-Request-ID", "the-apis-own")
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self) -> None:
        while len(self.origin.body) < int(self.headers["Content-Length"]):
            self.origin.body += self.rfile.read1(1 << 16)  # type: ignore[attr-defined]  # it is buffered
        self.do_GET()

    do_PUT = do_POST

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for number in (1, 2):
            self.wfile.write(f"data: {number}\n\n".encode())
            self.wfile.flush()
            self.origin.goes_on.wait(20)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def running_origin() -> Iterator[Origin]:
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.origin = Origin(server)  # type: ignore[attr-defined]  # it was just made
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield handler.origin  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def proxy(running_origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    variables = {**VARIABLES, "API_ORIGIN": running_origin.url, "STORE_ORIGIN": running_origin.url}
    try:
        with nginx_server(tmp_path_factory.mktemp("nginx"), ["api.conf.template"], variables) as nginx:
            yield nginx
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def origin(running_origin: Origin) -> Origin:
    running_origin.seen.clear()
    running_origin.body = b""
    return running_origin


@pytest.fixture
def line(proxy: Nginx) -> Iterator[socket.socket]:
    """A connection to the proxy, to say things slowly on."""
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=20) as line:
        yield line


def test_the_api_hears_of_a_request_when_its_head_is_whole(origin: Origin, line: socket.socket) -> None:
    for piece in (b"GET /slow HTTP/1.1\r\n", b"Host: farm\r\nX-A: "):
        line.sendall(piece)
    assert requests.get(f"http://127.0.0.1:{line.getpeername()[1]}/other", timeout=10).status_code == 200
    assert origin.seen == ["/other"]
    line.sendall(b"1\r\n\r\n")
    until(lambda: origin.seen == ["/other", "/slow"])


def test_a_body_is_passed_on_as_it_comes(origin: Origin, line: socket.socket) -> None:
    line.sendall(b"POST /api/render HTTP/1.1\r\nHost: farm\r\nContent-Length: 8\r\n\r\nhalf")
    until(lambda: origin.body == b"half")
    line.sendall(b"rest")
    until(lambda: origin.body == b"halfrest")
    assert line.recv(100).startswith(b"HTTP/1.1 200")


def test_each_event_is_there_when_it_is_sent(origin: Origin, line: socket.socket) -> None:
    line.sendall(b"GET /api/render/job_1/events HTTP/1.1\r\nHost: farm\r\n\r\n")
    heard = b""
    while b"data: 1" not in heard:
        heard += line.recv(1000)
    assert b"data: 2" not in heard
    origin.goes_on.set()
    while b"data: 2" not in heard:
        heard += line.recv(1000)


def test_the_api_knows_for_whom_and_under_which_name_it_is_asked(origin: Origin, proxy: Nginx) -> None:
    asked = {"X-Forwarded-For": "203.0.113.9", "X-Request-ID": "trace-1", "Host": "farm.example"}
    asked["traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = requests.get(f"{proxy.url}/api/credits?a=%2F..%2F", headers=asked, timeout=10)
    head = answer.json()["head"]
    assert answer.json()["path"] == "/api/credits?a=%2F..%2F"
    assert head["X-Forwarded-For"] == "203.0.113.9, 127.0.0.1"  # the last is ours: one proxy is believed
    assert (head["Host"], head["X-Forwarded-Proto"]) == ("farm.example", "http")
    assert head["X-Request-ID"] == answer.headers["X-Request-ID"] == "trace-1"
    assert "traceparent" not in {name.lower() for name in head}
    made = requests.get(proxy.url, headers={"X-Request-ID": "not one"}, timeout=10)
    assert made.json()["head"]["X-Request-ID"] == made.headers["X-Request-ID"]
    assert len(made.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("name", ["a" * 64, "a" * 65, "00-4bf9/+=:._-", "no name", "\u00e4", "x;y"])
def test_a_request_keeps_a_name_that_the_api_would_take(origin: Origin, proxy: Nginx, name: str) -> None:
    answer = requests.get(proxy.url, headers={"X-Request-ID": name.encode()}, timeout=10)
    assert (answer.headers["X-Request-ID"] == name) == (context.accepted(name) == name)


def test_the_store_hears_of_a_part_only_what_is_signed(origin: Origin, proxy: Nginx) -> None:
    asked = {
        "Host": "farm.example",
        "Content-MD5": "XUFAKrxLKna5cZ2REBfFkg==",
        "Authorization": "Bearer key",
        "Cookie": "a=1",
        "X-Amz-Copy-Source": "/renders/in/acct_2/up_2.mp4",
    }
    answer = requests.put(proxy.url + PART, b"hello", headers=asked, timeout=10).json()
    assert (answer["path"], origin.body) == (PART, b"hello")
    assert answer["head"] == {
        "Host": "farm.example",
        "Content-MD5": "XUFAKrxLKna5cZ2REBfFkg==",
        "Content-Length": "5",
        "Connection": "close",
    }


def said(answer: requests.Response, code: str) -> bool:
    """Whether this is the API's own way of saying it."""
    public = TABLE[code]
    words = {"error_code": code, "message": public.message}
    assert answer.headers["Content-Type"] == "application/json"
    return bool(answer.json() == {"detail": {**words, "action": public.action}, **words})


def test_what_the_proxy_refuses_is_said_in_the_apis_own_words(origin: Origin, proxy: Nginx) -> None:
    answer = requests.post(f"{proxy.url}/api/render", data=bytes((1 << 20) + 1), timeout=10)
    assert answer.status_code == 413 and said(answer, "CS-ORIV-005")
    assert "Retry-After" not in answer.headers
    assert origin.seen == []


@pytest.mark.usefixtures("proxy")  # it skips where there is no nginx
def test_that_the_api_or_the_store_is_away_is_said_in_the_apis_own_words(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    variables = {**VARIABLES, "API_ORIGIN": nobody, "STORE_ORIGIN": nobody}
    with nginx_server(tmp_path, ["api.conf.template"], variables) as nginx:
        for path in ("/api/render", PART):
            answer = requests.put(nginx.url + path, timeout=10)
            assert answer.status_code == 503 and said(answer, "CS-UORC01-199"), path
            assert "Retry-After" in answer.headers


def test_nobody_is_led_to_flower_where_the_api_is(origin: Origin, proxy: Nginx) -> None:
    assert requests.get(f"{proxy.url}/flower/", timeout=10).json()["path"] == "/flower/", "the API says 404"
