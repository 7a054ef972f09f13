"""A receiver of webhooks on this machine, for whoever develops against them: verifies, then hands on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from renderfarm.signing import ID, BadSignature, verify

#: A message is never longer.
_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Received:
    """A message whose signature is right."""

    id: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def whole(self) -> dict[str, Any]:
        """Its type, its time and its data."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def type(self) -> str:
        return str(self.whole["type"])

    @property
    def data(self) -> dict[str, Any]:
        """The job as it was then, and the event's ``sequence``."""
        found: dict[str, Any] = self.whole["data"]
        return found


class Receiver:
    """Listens on 127.0.0.1 for the length of a ``with``.

    ``receive`` is called for each message that one of the secrets has signed; it may return the status
    to answer with (204 if it returns None). What is signed by nobody known is answered with 401.
    """

    def __init__(
        self, secrets: Sequence[str], receive: Callable[[Received], int | None], port: int = 0
    ) -> None:
        #: May be changed while it listens, as may the headers that it answers with.
        self.secrets = secrets
        self.headers: Mapping[str, str] = {}
        self._receive = receive
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("content-length", 0)), _LONGEST))
                self.send_response(receiver.judge(dict(self.headers.items()), body))
                for name, value in {**receiver.headers, "content-length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: what was received says enough."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self) -> None:
        """Until somebody interrupts."""
        self._thread.join()

    def judge(self, headers: Mapping[str, str], body: bytes) -> int:
        """The status that a message is answered with."""
        lowered = {name.lower(): value for name, value in headers.items()}
        try:
            verify(self.secrets, lowered, body)
        except BadSignature:
            return 401
        return self._receive(Received(lowered[ID], lowered, body)) or 204
