"""What watches the farm, as it is deployed: its files, and what they are about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric

from tests.deploy.processes import ROOT
from tests.services.debian import Unavailable, program

PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "renderfarm.json"
#: The page of the operators.
PAGE = ROOT / "deploy" / "alerts.md"

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def installed(name: str) -> str:
    """A program of Prometheus's packages; skips where it cannot be had."""
    try:
        return program(name, "prometheus", "prometheus-alertmanager")
    except Unavailable as reason:
        pytest.skip(str(reason))


def rules() -> list[dict[str, Any]]:
    files = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["rule_files"]
    groups = [group for name in files for group in yaml.safe_load((PROMETHEUS / name).read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of the dashboard, and the title of its panel."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def names_in(expression: str) -> set[str]:
    """The farm's series, and those that rules make, which it asks for."""
    return set(re.findall(r"\brenderfarm[_:][a-z0-9_:]+", expression))


def series_of(families: Iterable[Metric]) -> set[str]:
    """The names of the series that families have, or will have."""
    return {
        family.name + suffix
        for family in families
        if family.name.startswith("renderfarm_")
        for suffix in _SUFFIXES.get(family.type, ("",))
    }


def told(folder: Path, receivers: str, **route: str) -> Path:
    """Our Alertmanager's configuration with other times, and its messages to ``{receivers}/{name}``."""
    config = yaml.safe_load(ALERTMANAGER.read_text())
    for level in (config["route"], *config["route"]["routes"]):
        level.update(route)
    for receiver in config["receivers"]:
        for webhook in receiver["webhook_configs"]:
            del webhook["url_file"]
            webhook["url"] = f"{receivers}/{receiver['name']}"
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    return path
