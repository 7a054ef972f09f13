"""How long requests take, for Prometheus, on a listener of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Histogram, generate_latest

from renderfarm.metrics.page import registry_of
from renderfarm.metrics.shared import SharedFolder
from renderfarm.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_DURATION = Histogram(
    "renderfarm_http_request_duration_seconds",
    "Seconds from a request's first line to its answer, its upload included.",
    ["route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.4, 1, 2.5, 10, 60, 600),
)


def install(app: Flask, settings: Settings) -> None:
    """Measure every request, and answer ``/metrics`` on the metrics port alone."""
    app.before_request(_begin)
    app.after_request(_measure)
    if settings.metrics_port:
        app.wsgi_app = _Listener(app.wsgi_app, str(settings.metrics_port))  # type: ignore[method-assign]


def _begin() -> None:
    g.began = time.perf_counter()


def _measure(response: Response) -> Response:
    # Never the path itself: anyone could make series without end.
    route = request.url_rule.rule if request.url_rule else "unknown"
    _DURATION.labels(route, response.status_code).observe(time.perf_counter() - g.began)
    return response


class _Listener:
    """Keeps the two listeners apart: metrics on the one, everything else on the other.

    A second listener of the same workers, rather than a thread of gunicorn's master: forking from a
    process with threads can leave the child with a lock that nobody holds.
    """

    def __init__(self, app: WSGIApplication, port: str) -> None:
        self._app = app
        self._port = port

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # gunicorn takes this from the socket, not from the Host header.
        if environ["SERVER_PORT"] != self._port:
            return self._app(environ, start_response)
        if environ["PATH_INFO"] != "/metrics":
            return Response("not here\n", 404, mimetype="text/plain")(environ, start_response)
        return Response(_latest(), content_type=CONTENT_TYPE_LATEST)(environ, start_response)


def _latest() -> bytes:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return generate_latest(registry_of("api", SharedFolder(Path(folder)) if folder else REGISTRY))
