"""The alert rules by promtool, and a real Prometheus that scrapes the real exporter with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from renderfarm.db import Database
from renderfarm.local.ports import free_port
from renderfarm.models import Account
from renderfarm.settings import Settings
from tests.deploy.processes import ROOT
from tests.services.exporter import exporter_server
from tests.services.processes import running

FOLDER = ROOT / "deploy" / "prometheus"


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(promtool: str, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [promtool, *words], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_runbook_line_a_test_that_fires_and_one_that_does_not() -> None:
    rules = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"][0]["rules"]
    cases = [
        case
        for test in yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    page = (ROOT / "deploy" / "README.md").read_text()
    for rule in rules:
        name = rule["alert"]
        assert len(rule["annotations"]["runbook"]) > 40, name
        fires = {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == name}
        assert fires == {True, False}, name
        assert name in page


class Page:
    """Prometheus's own HTTP API, and waiting for what it will say."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **query: str) -> Any:
        address = f"{self._base}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=5) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float | None:
        found = self.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def wait(self, expression: str, wanted: float) -> None:
        deadline, seen = time.monotonic() + 30, None
        while time.monotonic() < deadline:
            try:
                seen = self.value(expression)
            except urllib.error.HTTPError as error:  # 503 until it has read its own log
                error.close()
            if seen == wanted:
                return
            time.sleep(0.1)
        pytest.fail(f"{expression} is {seen}, not {wanted}")


def faster(exporter_port: int, folder: Path) -> Path:
    """Our configuration with a second for its minutes, and the exporter where it is."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(FOLDER / name) for name in config["rule_files"]]
    config["scrape_configs"] = [job for job in config["scrape_configs"] if job["job_name"] == "exporter"]
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{exporter_port}"]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_real_prometheus_reads_the_exporter_and_fires_on_a_wrong_ledger(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not installed (Debian: apt install prometheus)")
    with database.begin() as session:
        session.add(Account(id="acc_1", name="studio"))
    with exporter_server(settings.database_url, tmp_path) as exporter:
        port = free_port()
        command = [
            prometheus,
            f"--config.file={faster(exporter.port, tmp_path)}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with running(command, port=port, log=tmp_path / "prometheus.log"):
            page = Page(port)
            page.wait('up{job="exporter"}', 1)
            page.wait("renderfarm_exporter_up", 1)
            page.wait("sum(renderfarm_queue_depth)", 0)
            page.wait("renderfarm_ledger_mismatch", 0)
            rules = page.get("rules")["groups"][0]["rules"]
            assert {rule["health"] for rule in rules} <= {"ok", "unknown"}  # unknown: not evaluated yet
            assert page.value('ALERTS{alertname="RenderfarmLedgerMismatch"}') is None

            with database.begin() as session:
                session.execute(text("UPDATE accounts SET available = available + 1"))
            page.wait('ALERTS{alertname="RenderfarmLedgerMismatch", alertstate="firing"}', 1)
            with database.begin() as session:
                session.execute(text("UPDATE accounts SET available = available - 1"))
            page.wait('ALERTS{alertname="RenderfarmLedgerMismatch"} or vector(0)', 0)
            assert {rule["health"] for rule in page.get("rules")["groups"][0]["rules"]} == {"ok"}
