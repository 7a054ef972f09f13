"""A page of metrics, to ask for one of its series."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector


class Page:
    """What a collector shows, read anew each time it is asked."""

    def __init__(self, collector: Collector) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(collector)

    def __call__(self, series: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(f"renderfarm_{series}", labels)

    def all(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every series, by its name and labels."""
        samples = [sample for family in self._registry.collect() for sample in family.samples]
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
