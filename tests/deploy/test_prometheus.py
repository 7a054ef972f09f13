"""A real Prometheus and a real Alertmanager with our files: they read a running farm, and tell somebody."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from renderfarm.db import Database
from renderfarm.local.ports import free_port
from renderfarm.models import Account
from tests.deploy.watching import PAGE, PROMETHEUS, expressions, installed, names_in, rules, series_of, told
from tests.services.exporter import exporter_server
from tests.services.inbox import Inbox, inbox_server
from tests.services.postgres import PostgresServer
from tests.services.processes import running
from tests.waiting import until


@dataclass(frozen=True)
class Watched:
    """A farm's rows, and who watches them."""

    database: Database
    #: Their ports.
    exporter: int
    prometheus: int
    alertmanager: int
    inbox: Inbox

    def get(self, path: str, **query: str) -> Any:
        address = f"http://127.0.0.1:{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=5) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float | None:
        try:
            found = self.get("query", query=expression)["result"]
        except urllib.error.HTTPError as error:  # 503 until it has read its own log
            error.close()
            return None
        return float(found[0]["value"][1]) if found else None

    def said(self, receiver: str, alert: str) -> list[str]:
        """What a receiver was told of an alert, in order: ``firing``, ``resolved``."""
        return [
            one["status"]
            for message in list(self.inbox.messages[f"/{receiver}"])
            for one in message["alerts"]
            if one["labels"]["alertname"] == alert
        ]


@pytest.fixture(scope="module")
def watched(
    postgres: PostgresServer, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    prometheus, alertmanager = installed("prometheus"), installed("prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("watched")
    database = Database(postgres.fresh_database())
    with database.begin() as session:
        session.add(Account(id="acc_1", name="studio"))
    with ExitStack() as stack:
        stack.callback(database.close)
        inbox = stack.enter_context(inbox_server())
        exporter = stack.enter_context(exporter_server(database.url, folder, redis_url))
        told_by, port = free_port(), free_port()
        times = {"group_wait": "1s", "group_interval": "1s"}
        command = [
            alertmanager,
            f"--config.file={told(folder, f'http://127.0.0.1:{inbox.port}', **times)}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{told_by}",
            "--cluster.listen-address=",
        ]
        stack.enter_context(running(command, port=told_by, log=folder / "alertmanager.log"))
        command = [
            prometheus,
            f"--config.file={faster(folder, exporter.port, told_by)}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            # What fires from the first look on is told before it knows whom, and then in a minute.
            "--rules.alert.resend-delay=1s",
        ]
        stack.enter_context(running(command, port=port, log=folder / "prometheus.log"))
        watched = Watched(database, exporter.port, port, told_by, inbox)
        until(lambda: watched.value('up{job="exporter"}') == 1, 60, 0.1)
        yield watched


def faster(folder: Path, exporter: int, alertmanager: int) -> Path:
    """Our configuration with a second for its minutes, and both where they are."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]}
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "exporter")
    config["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}
    ]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_wrong_ledger_reaches_the_pager_and_so_does_its_end(watched: Watched) -> None:
    until(lambda: watched.value("renderfarm_ledger_mismatch") == 0, 30, 0.1)
    assert watched.value("renderfarm_exporter_up") == 1
    assert watched.value('ALERTS{alertname="RenderfarmLedgerMismatch"}') is None

    with watched.database.begin() as session:
        session.execute(text("UPDATE accounts SET available = available + 1"))
    until(lambda: watched.said("pager", "RenderfarmLedgerMismatch") == ["firing"], 30, 0.1)
    with watched.database.begin() as session:
        session.execute(text("UPDATE accounts SET available = available - 1"))
    until(lambda: watched.said("pager", "RenderfarmLedgerMismatch")[-1] == "resolved", 30, 0.1)

    [message] = [one for one in watched.inbox.messages["/pager"] if one["status"] == "firing"]
    assert message["receiver"] == "pager"
    assert message["alerts"][0]["annotations"]["summary"].startswith("The balance of 1 account(s)")
    assert watched.inbox.messages["/tickets"] == []
    assert {rule["health"] for group in watched.get("rules")["groups"] for rule in group["rules"]} == {"ok"}


def test_somebody_outside_hears_all_the_time_that_both_are_there(watched: Watched) -> None:
    until(lambda: "firing" in watched.said("watchdog", "RenderfarmWatchdog"), 30, 0.1)
    assert not watched.said("pager", "RenderfarmWatchdog") + watched.said("tickets", "RenderfarmWatchdog")


def test_what_follows_from_something_worse_is_not_told_beside_it(watched: Watched) -> None:
    base = f"http://127.0.0.1:{watched.alertmanager}/api/v2/alerts"
    names = ("RenderfarmRedisAway", "RenderfarmDispatchLag", "RenderfarmOldWorkNoWorker")
    alerts = [{"labels": {"alertname": name, "severity": "page"}} for name in names]
    request = urllib.request.Request(base, json.dumps(alerts).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=5).close()

    def states() -> dict[str, str]:
        with urllib.request.urlopen(base, timeout=5) as answer:
            return {one["labels"]["alertname"]: one["status"]["state"] for one in json.load(answer)}

    wanted = dict(zip(names, ("active", "suppressed", "active"), strict=True))
    until(lambda: wanted.items() <= states().items(), 30, 0.1)
    until(lambda: watched.said("pager", "RenderfarmOldWorkNoWorker"), 30, 0.1)
    until(lambda: watched.said("pager", "RenderfarmRedisAway"), 30, 0.1)
    assert watched.said("pager", "RenderfarmDispatchLag") == []


def test_prometheus_understands_every_expression_of_the_dashboard(watched: Watched) -> None:
    asked = list(expressions())
    assert len(asked) > 40
    for title, expression in asked:
        try:
            watched.get("query", query=expression)
        except urllib.error.HTTPError as error:
            pytest.fail(f"{title}: {expression}: {error.read().decode()}")


def test_what_is_asked_for_is_shown_and_what_is_shown_is_told_of(watched: Watched) -> None:
    shown = series_of([*of_exporter(watched.exporter), *of_processes()])
    made = {rule["record"] for rule in rules() if "record" in rule}
    asked = set.union(*(names_in(expression) for _, expression in expressions()))
    asked |= set.union(*(names_in(rule["expr"]) for rule in rules()))
    assert asked <= shown | made, "nobody shows this"
    page = PAGE.read_text()
    families = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in shown}
    assert len(families) > 30
    assert {name for name in families if f"`{name}`" not in page and f"`{name}{{" not in page} == set()


def of_exporter(port: int) -> Iterator[Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=15) as answer:
        yield from text_string_to_metric_families(answer.read().decode())


def of_processes() -> Iterator[Any]:
    """What all other processes count."""
    for module in ("api.metrics", "renderfarm.courier", "renderfarm.dispatch", "workers.metrics"):
        import_module(module)
    yield from REGISTRY.collect()
