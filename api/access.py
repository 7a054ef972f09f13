"""Each request from its first line to its last byte: its id, its line in the log, its span."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from renderfarm import context, tracing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

#: Asked every few seconds by what watches over the process.
_PROBES = frozenset({"/healthz", "/readyz"})
_ROUTE = "renderfarm.route"


def install(app: Flask) -> None:
    """Know every request by its id, and log it as it ends."""
    app.before_request(_name)
    app.wsgi_app = _Access(app.wsgi_app)  # type: ignore[method-assign]  # how Flask has it done


def _name() -> None:
    """Never the path itself, which may hold anything, and ids."""
    request.environ[_ROUTE] = request.url_rule.rule if request.url_rule else "unknown"


class _Access:
    """The application, with an account of each request it answers."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = _Answer(environ)

        def start(status: str, headers: list[tuple[str, str]], failed: Any = None) -> Any:
            answer.status = int(status[:3])
            return start_response(status, [*headers, (context.HEADER, answer.request_id)], failed)

        try:
            answer.body = self._app(environ, start)
        except BaseException:
            answer.close()
            raise
        return answer


class _Answer:
    """A body on its way out; closed, it is all that there is to say of the request."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.request_id = context.accepted(environ.get("HTTP_X_REQUEST_ID"))
        self.status = 500
        self.body: Iterable[bytes] = ()
        self._environ = environ
        self._began = time.perf_counter()
        self._bytes = 0
        self._around = ExitStack()
        # Whatever the request before has left on this thread is gone.
        self._around.callback(context.end, context.begin(request=self.request_id))
        self._span = None
        if environ["PATH_INFO"] not in _PROBES:
            sent = environ.get("HTTP_TRACEPARENT")
            self._span = self._around.enter_context(tracing.span("request", under=sent, server=True))

    def __iter__(self) -> Iterator[bytes]:
        for data in self.body:
            self._bytes += len(data)
            yield data

    def close(self) -> None:
        """End the request: whoever serves it calls this, however that went."""
        try:
            if close := getattr(self.body, "close", None):
                close()
        finally:
            self._tell()
            self._around.close()

    def _tell(self) -> None:
        method, route = self._environ["REQUEST_METHOD"], self._environ.get(_ROUTE, "unknown")
        seconds = time.perf_counter() - self._began
        if self._span is not None:
            self._span.update_name(f"{method} {route}")
            self._span.set_attribute("http.response.status_code", self.status)
        level = logging.DEBUG if route in _PROBES else logging.INFO
        fields = {"method": method, "route": route, "status": self.status}
        fields |= {"seconds": round(seconds, 4), "bytes": self._bytes}
        said = (method, route, self.status, seconds, self._bytes)
        log.log(level, "%s %s: %d after %.3f s, %d bytes", *said, extra={"fields": fields})
