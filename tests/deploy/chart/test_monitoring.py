"""What Prometheus finds: every process that counts, and the alerts as they were written."""

from __future__ import annotations

import json

import yaml

from tests.deploy.chart.rendered import CHART, COMPONENT, VARIANTS, Rendered, render
from tests.deploy.processes import ROOT


def test_the_monitor_finds_every_pod_that_shows_metrics_and_no_other(release: Rendered) -> None:
    showing = {
        name
        for name in release.pods()
        if {"name": "metrics", "containerPort": 9100} in release.container(name).get("ports", [])
    }
    assert len(showing) == 8
    annotated = {
        name
        for name, pod in release.pods().items()
        if "prometheus.io/scrape" in (pod["metadata"].get("annotations") or {})
    }
    for monitor in release.of("PodMonitor").values():
        assert release.matched(monitor["spec"]["selector"]) == showing
        assert monitor["spec"]["jobLabel"] == COMPONENT, "jobs are named as in compose"
        assert [e["port"] for e in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]
    assert annotated == (set() if release.of("PodMonitor") else showing), "scraped once, one way or the other"


def test_the_alerts_are_the_ones_of_the_one_file_with_their_braces() -> None:
    release = render(VARIANTS["two-pools"])
    (rule,) = release.of("PrometheusRule").values()
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())
    assert "{{ $labels" in json.dumps(rule)
    for found in (rule, *release.of("PodMonitor").values()):
        assert found["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_the_board_is_the_one_there_is() -> None:
    board = CHART / "files" / "renderfarm.json"
    maps = render(VARIANTS["two-pools"]).of("ConfigMap")
    assert bool(maps) == board.exists()
    for found in maps.values():
        assert json.loads(found["data"]["renderfarm.json"]) == json.loads(board.read_text())
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_nothing_of_it_is_there_where_no_operator_is(defaults: Rendered) -> None:
    assert not {"PodMonitor", "PrometheusRule", "ConfigMap"} & {o["kind"] for o in defaults.objects}
