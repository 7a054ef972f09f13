"""What the processes themselves count."""

from __future__ import annotations

import os
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select

from renderfarm import dispatch
from renderfarm.dispatch import Dispatcher
from renderfarm.local.ports import free_port
from renderfarm.messages import Message
from renderfarm.metrics.page import show
from renderfarm.settings import Settings
from renderfarm.storage import open_storage
from renderfarm.sweep import Sweeper
from tests.renderfarm.farm import Farm, worker
from tests.services.processes import running
from tests.waiting import until


def value(series: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"renderfarm_{series}", labels) or 0.0


def test_the_dispatcher_shows_that_it_is_there_and_keeps_up(
    settings: Settings, redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    env = {**os.environ, "DATABASE_URL": settings.database_url, "REDIS_URL": redis_url}
    env |= {"FARM_STORAGE_URL": settings.storage_url, "FARM_METRICS_PORT": str(port)}
    command = [sys.executable, "-m", "renderfarm.cli", "dispatcher"]
    with running(command, port=port, env=env, log=tmp_path / "dispatcher.log"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        assert health(port) == 200
    shown = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert shown['renderfarm_process_info{component="dispatcher",version="0.1.0"}'] == "1.0"
    assert float(shown["renderfarm_dispatch_lag_seconds"]) < 5
    for reason in ("lost", "stalled", "replanned"):
        assert shown[f'renderfarm_sweeper_requeued_total{{reason="{reason}"}}'] == "0.0"
    assert shown['renderfarm_messages_published_total{queue="v4"}'] == "0.0"


def health(port: int) -> int:
    """How a process answers to whoever asks whether to start it again."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_dispatcher_that_hangs_is_to_be_started_again_and_one_without_a_broker_or_a_lock_is_not(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "HUNG_SECONDS", 1.0)
    monkeypatch.setattr(dispatch, "_PATIENCE", "100ms")
    hangs, goes_on = threading.Event(), threading.Event()

    def publish(message: Message) -> None:
        if not hangs.is_set():
            raise OSError("no broker")
        goes_on.wait(30)

    farm.submit(farm.account())
    farm.report(worker("a"))
    settings = replace(farm.settings, sweep_seconds=0.1, metrics_port=free_port())
    stop = threading.Event()
    dispatcher = Dispatcher(settings, farm.database, publish, open_storage(settings))
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    with show(settings, "dispatcher", alive=dispatcher.alive):
        thread.start()
        try:
            until(lambda: value("dispatch_lag_seconds") > 1.5)
            assert health(settings.metrics_port) == 200
            with farm.database.begin() as session:
                session.execute(select(func.pg_advisory_xact_lock(dispatch._LOCK)))
                began = value("dispatch_lag_seconds")
                until(lambda: value("dispatch_lag_seconds") > began + 1.5)
                assert health(settings.metrics_port) == 200
            hangs.set()
            until(lambda: health(settings.metrics_port) == 503)
            goes_on.set()
            until(lambda: health(settings.metrics_port) == 200)
        finally:
            goes_on.set()
            stop.set()
            thread.join()


def test_a_dispatcher_whose_messages_nobody_takes_lags_until_somebody_does(farm: Farm) -> None:
    there = threading.Event()
    sent: list[str] = []

    def publish(message: Message) -> None:
        if not there.is_set():
            raise OSError("no broker")
        sent.append(message.unit_id)

    farm.submit(farm.account())
    farm.report(worker("a"))
    settings = replace(farm.settings, sweep_seconds=0.1)
    before = value("messages_published_total", queue="v4")
    stop = threading.Event()
    dispatcher = Dispatcher(settings, farm.database, publish, open_storage(settings))
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    try:
        until(lambda: value("dispatch_lag_seconds") > 1)
        assert value("messages_published_total", queue="v4") == before
        there.set()
        until(lambda: value("dispatch_lag_seconds") < 0.5)
    finally:
        stop.set()
        thread.join()
    assert value("messages_published_total", queue="v4") == before + len(sent)


def test_what_the_sweeper_has_queued_again_is_counted_by_why(farm: Farm) -> None:
    sweeper = Sweeper(farm.settings, farm.database, open_storage(farm.settings))
    job_id = farm.submit(farm.account())
    before = {reason: value("sweeper_requeued_total", reason=reason) for reason in ("lost", "stalled")}
    for expected in (1, 1):  # the second one is the unit's end: a worker it has killed twice
        farm.lose(farm.take(f"{job_id}:reference:0"))
        assert sweeper.take_back_leases() == 1
        assert value("sweeper_requeued_total", reason="lost") == before["lost"] + expected
    assert value("sweeper_requeued_total", reason="stalled") == before["stalled"]
