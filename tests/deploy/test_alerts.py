"""The alerts: tried by promtool, routed by amtool, and each with its place in a runbook that works."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from sqlalchemy import text

from renderfarm.cli import main
from renderfarm.db import Database
from renderfarm.metrics.jobs import PROMISED_START
from tests.deploy.watching import ALERTMANAGER, PAGE, PROMETHEUS, alerts, installed, rules, told

#: How the runbook begins to speak of an alert, by its severity.
SAID = {"page": "*Page.*", "ticket": "*Ticket.*", "watchdog": "*Always.*"}
TESTS = sorted(path.name for path in PROMETHEUS.glob("*_test.yml"))


@pytest.mark.parametrize(
    "words", [("check", "config", "prometheus.yml"), ("test", "rules", *TESTS)], ids=lambda words: words[0]
)
def test_promtool_agrees(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [installed("promtool"), *words],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_that_fires_and_one_that_does_not() -> None:
    asked: dict[str, set[bool]] = {alert["alert"]: set() for alert in alerts()}
    for name in TESTS:
        for test in yaml.safe_load((PROMETHEUS / name).read_text())["tests"]:
            for case in test.get("alert_rule_test", ()):
                asked[case["alertname"]].add(bool(case.get("exp_alerts")))
            for case in test.get("promql_expr_test", ()):
                (pattern,) = re.findall(r'alertname=~?"([^"]*)"', case["expr"])
                firing = str(case["exp_samples"])
                for alert in filter(re.compile(pattern).fullmatch, asked):
                    asked[alert].add(f'"{alert}"' in firing)
    assert asked.pop("RenderfarmWatchdog") == {True}  # always
    assert {name for name, seen in asked.items() if seen != {True, False}} == set()


def test_every_alert_says_whom_it_wakes_and_has_its_place_in_the_runbook() -> None:
    page = PAGE.read_text()
    for alert in alerts():
        name, severity = alert["alert"], alert["labels"]["severity"]
        section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert section.strip().startswith(SAID[severity]), name
        assert len(alert["annotations"]["runbook"]) > 40, name
        assert alert["annotations"]["summary"].endswith("."), name
    sections = re.findall(r"(?m)^### (\w+)$", page)
    assert sections == [alert["alert"] for alert in alerts()]


def test_the_promise_of_the_rules_is_a_bucket_of_the_histogram() -> None:
    bucket = re.compile(r'wait_seconds_bucket{.*?le="([^"]*)"')
    limits = {limit for rule in rules() for limit in bucket.findall(rule["expr"])}
    assert limits == {str(PROMISED_START)}


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "RenderfarmRedisAway", "severity": "page"}, "pager"),
        ({"alertname": "RenderfarmOldHold", "severity": "ticket"}, "tickets"),
        ({"alertname": "RenderfarmWatchdog", "severity": "watchdog"}, "watchdog"),
        ({"alertname": "RenderfarmAlertsUnsent", "severity": "page"}, "tickets,pager"),
        ({"alertname": "SomebodyElses"}, "tickets"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_amtool_sends_each_to_whom_it_is_for(labels: dict[str, str], receiver: str, tmp_path: Path) -> None:
    config = told(tmp_path, "http://127.0.0.1:9")
    words = [f"{name}={value}" for name, value in labels.items()]
    route = ["config", "routes", "test", f"--config.file={config}", *words]
    for command in (["check-config", str(config)], route):
        done = subprocess.run([installed("amtool"), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == receiver


def test_what_is_inhibited_and_by_what_are_alerts_of_ours() -> None:
    names = {alert["alert"] for alert in alerts()}
    matchers = [
        matcher
        for rule in yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
        if matcher.startswith("alertname")
    ]
    named = {name for matcher in matchers for name in re.split(r"=~?", matcher)[1].split("|")}
    assert named <= names


def test_no_address_to_which_messages_go_stands_in_the_file() -> None:
    webhooks = [
        w for r in yaml.safe_load(ALERTMANAGER.read_text())["receivers"] for w in r["webhook_configs"]
    ]
    assert all("url" not in webhook and webhook["url_file"].startswith("/") for webhook in webhooks)


def test_every_command_of_the_runbook_is_one_of_ours() -> None:
    texts = [PAGE.read_text(), *(alert["annotations"]["runbook"] for alert in alerts())]
    said = {command for text in texts for command in re.findall(r"`farm ([^`]*)`", text)}
    assert len(said) > 5
    for words in map(str.split, said):
        command: click.Command = main
        while words and isinstance(command, click.Group) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert command is not main, words
        assert {word for word in words if word.startswith("-")} <= options, words
        assert all(word.startswith("-") or word.isupper() or word == "failed" for word in words), words


def test_every_statement_of_the_runbook_is_one_that_postgresql_takes(database: Database) -> None:
    statements = [shlex.split(line)[-1] for line in PAGE.read_text().splitlines() if line.startswith("psql ")]
    assert len(statements) > 5
    with database.begin() as session:
        for statement in statements:
            session.execute(text(statement))
