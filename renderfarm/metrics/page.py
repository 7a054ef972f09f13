"""The page that a process shows its metrics on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from renderfarm import __version__
from renderfarm.settings import Settings

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
def show(settings: Settings, component: str, shown: Collector = REGISTRY) -> Iterator[None]:
    """Serve ``/metrics`` for the length of the block; not at all without a port."""
    if not settings.metrics_port:
        yield
        return
    registry = registry_of(component, shown)
    server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    log.info("metrics on http://%s:%d/metrics", settings.metrics_host, settings.metrics_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
