"""The page that a process shows its metrics on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from renderfarm import __version__
from renderfarm.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)


class About(Collector):
    """Which part of the farm shows this page, and of what version: that it is gone can be seen by that."""

    def __init__(self, component: str) -> None:
        self._component = component

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return self.collect()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "renderfarm_process_info", "Always 1: a process of the farm.", labels=["component", "version"]
        )
        family.add_metric([self._component, __version__], 1.0)
        yield family


def registry_of(component: str, *shown: Collector) -> CollectorRegistry:
    """What a page is made of: the component's name, and what it has to show."""
    registry = CollectorRegistry()
    for collector in (About(component), *shown):
        registry.register(collector)
    return registry


@contextmanager
def show(
    settings: Settings,
    component: str,
    shown: Collector = REGISTRY,
    alive: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Serve ``/metrics`` and ``/healthz`` for the length of the block; not at all without a port."""
    if not settings.metrics_port:
        yield
        return
    registry = registry_of(component, shown)
    server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    metrics = server.get_app()
    assert metrics is not None
    server.set_app(_with_health(metrics, alive))
    log.info("metrics on http://%s:%d/metrics", settings.metrics_host, settings.metrics_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_health(metrics: WSGIApplication, alive: Callable[[], bool]) -> WSGIApplication:
    """The page, and beside it ``/healthz``: 200, or 503 for a process that only a restart can help."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return metrics(environ, start_response)
        status, said = ("200 OK", b"alive\n") if alive() else ("503 Service Unavailable", b"hung\n")
        start_response(status, [("Content-Type", "text/plain")])
        return [said]

    return app
