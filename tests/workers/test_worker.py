"""Whole workers: real processes over a real Redis and PostgreSQL; only what draws is small."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import requests
from sqlalchemy import select

from pipeline.spec import ENGINES, Model
from renderfarm.local.ports import free_port
from renderfarm.models import Attempt, JobStatus, Unit, UnitStatus, Worker
from renderfarm.settings import Settings
from tests.services.processes import running
from tests.waiting import until
from tests.workers.farm import Farm
from tests.workers.processes import dispatching, environment


@pytest.fixture
def settings(settings: Settings, redis_url: str) -> Settings:
    redis.Redis.from_url(redis_url).flushall()
    return replace(
        settings,
        redis_url=redis_url,
        lease_seconds=3.0,
        heartbeat_seconds=0.3,
        sweep_seconds=0.2,
        republish_seconds=2.0,
        retry_seconds=0.1,
    )


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., psutil.Process]]:
    """Starts workers; at the end each must have gone with all its processes."""
    logs: list[Path] = []
    with ExitStack() as workers:

        def start(queue: str, drawing: str = "draws", **changes: Any) -> psutil.Process:
            log = tmp_path / f"{queue}-{len(logs)}.log"
            logs.append(log)
            env = environment(replace(settings, **changes))
            command = [sys.executable, "-m", "tests.workers.worker", queue, drawing]
            process = psutil.Process(workers.enter_context(running(command, env=env, log=log)).pid)
            until(lambda: " ready: queue" in log.read_text(), 30)
            return process

        yield start
    for log in logs:
        print(log.read_text())


@pytest.fixture
def dispatcher(farm: Farm) -> Iterator[None]:
    with dispatching(farm):
        yield


@pytest.mark.usefixtures("dispatcher")
def test_workers_take_a_job_from_its_submission_to_its_end(farm: Farm, start) -> None:
    port = free_port()
    start("v4", metrics_port=port)
    start("cpu")
    job_id = farm.submit()
    until(lambda: farm.job(job_id).status == JobStatus.COMPLETE, 60)
    with farm.database.begin() as session:
        workers = {row.queue: row.versions["engines"] for row in session.scalars(select(Worker))}
        outcomes = set(session.scalars(select(Attempt.outcome)))
    assert workers == {"v4": [str(ENGINES[Model.V4])], "cpu": [str(engine) for engine in ENGINES.values()]}
    assert outcomes == {"done"}
    shown = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    assert 'renderfarm_process_info{component="worker-v4"' in shown
    assert 'renderfarm_unit_attempts_total{outcome="done",stage="segment"} 1.0' in shown
    assert 'renderfarm_unit_attempts_total{outcome="failed",stage="segment"} 0.0' in shown
    assert 'renderfarm_unit_attempts_total{outcome="refused",stage="segment"} 0.0' in shown
    assert 'renderfarm_frames_rendered_total{model="V4_Preview"} 40.0' in shown
    assert 'renderfarm_stage_duration_seconds_count{model="V4_Preview",stage="plate"} 1.0' in shown


@pytest.mark.usefixtures("dispatcher")
@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_hands_its_unit_over_and_leaves_nothing(
    farm: Farm, start, signal_: signal.Signals
) -> None:
    worker = start("v4", "slow")
    job_id = farm.submit()
    unit_id = f"{job_id}:segment:0"
    family = at_work(farm, unit_id, worker)
    if signal_ is signal.SIGINT:  # Ctrl-C in a terminal goes to all of the foreground's group
        os.killpg(worker.pid, signal_)
    else:
        worker.send_signal(signal_)
    psutil.wait_procs([worker], timeout=20)
    assert not alive(family)
    assert farm.unit(unit_id).failures == 0
    with farm.database.begin() as session:
        assert session.scalars(select(Worker)).all() == []
        [ended] = session.scalars(select(Attempt).where(Attempt.unit_id == unit_id))
        assert ended.outcome == "handed_over"
    assert "segment-0000" in farm.artifacts(job_id)
    assert [path.name for path in farm.settings.work_dir.iterdir()] == [".lock"]
    start("v4")
    start("cpu")
    until(lambda: farm.job(job_id).status == JobStatus.COMPLETE, 60)


@pytest.mark.usefixtures("dispatcher")
def test_a_worker_whose_child_is_killed_goes_on_with_another(farm: Farm, start) -> None:
    worker = start("v4", "slow")
    start("cpu")
    job_id = farm.submit()
    child, *drawing = at_work(farm, f"{job_id}:segment:0", worker)[1:]
    child.kill()
    until(lambda: not alive(drawing))
    until(lambda: farm.job(job_id).status == JobStatus.COMPLETE, 60)
    assert worker.is_running()
    [counted] = farm.settings.work_dir.glob("v4-*/metrics")
    assert (counted / "counter_ended.db").exists(), "what the killed one had counted is kept"
    assert not (counted / f"counter_{child.pid}.db").exists()


@pytest.mark.usefixtures("dispatcher")
def test_what_failed_on_one_worker_goes_on_on_another(farm: Farm, start) -> None:
    start("v4", "exits")
    start("v4")
    start("cpu")
    job_id = farm.submit()
    until(lambda: farm.job(job_id).status == JobStatus.COMPLETE, 60)
    with farm.database.begin() as session:
        rows = session.scalars(select(Attempt).order_by(Attempt.unit_id, Attempt.attempt)).all()
    failed = [row for row in rows if row.outcome == "retry"]
    assert failed, "two units were ready at once, for two workers"
    for row in failed:
        [following] = [x for x in rows if (x.unit_id, x.attempt) == (row.unit_id, row.attempt + 1)]
        assert following.worker != row.worker


@pytest.mark.usefixtures("dispatcher")
def test_a_worker_that_is_killed_takes_its_children_along(farm: Farm, start) -> None:
    worker = start("v4", "slow")
    job_id = farm.submit()
    family = at_work(farm, f"{job_id}:segment:0", worker)
    worker.kill()
    until(lambda: not alive(family))
    start("v4")
    start("cpu")
    until(lambda: farm.job(job_id).status == JobStatus.COMPLETE, 60)
    folders = [path.name for path in farm.settings.work_dir.iterdir() if path.name.startswith("v4-")]
    assert len(folders) == 1, "what the killed one left is removed by the next"


def test_a_broker_that_is_killed_and_comes_back_empty_costs_nothing(
    farm: Farm, start, settings: Settings, tmp_path: Path
) -> None:
    port = free_port()
    farm.settings = replace(settings, redis_url=f"redis://127.0.0.1:{port}/0")
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with running(command, port=port, cwd=tmp_path) as broker, dispatching(farm):
        worker = start("v4", "slow", redis_url=farm.settings.redis_url)
        start("cpu", redis_url=farm.settings.redis_url)
        job_id = farm.submit()
        at_work(farm, f"{job_id}:analyse:0", worker)
        broker.kill()
        broker.wait()
        until(lambda: farm.unit(f"{job_id}:analyse:0").status == UnitStatus.DONE)
        with running(command, port=port, cwd=tmp_path):
            until(lambda: farm.job(job_id).status == JobStatus.COMPLETE, 60)
            with farm.database.begin() as session:
                assert set(session.scalars(select(Attempt.outcome))) == {"done"}


def test_health_is_asked_from_outside(start, settings: Settings) -> None:
    env = environment(settings)

    def health(*queue: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workers", "health", *queue]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    assert health("v4").returncode == 1
    start("v4")
    until(lambda: health("v4").returncode == 0, every=0.1)
    assert health("v4").stdout.startswith("ok: 1 running")
    assert "no worker of cpu" in health("cpu").stderr
    assert health().returncode == 0, "of any queue"


def at_work(farm: Farm, unit_id: str, worker: psutil.Process) -> list[psutil.Process]:
    """The worker, its child and the process that draws, once they draw the unit."""

    def drawing() -> bool:
        with farm.database.begin() as session:
            unit = session.get(Unit, unit_id)
            return unit is not None and unit.done > 0

    until(drawing, 60)
    family = [worker, *worker.children(recursive=True)]
    assert len(family) >= 3
    return family


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
