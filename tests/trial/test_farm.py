"""A whole farm for a trial: it works, and nothing is left of it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from renderfarm.local.processes import members
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import ROOT, Ground
from renderfarm.trial.process import alive
from renderfarm.trial.waiting import until

_PROGRAM = """
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import Ground
with Ground.open() as ground, Farm.open(ground, workers={"cpu": 1}) as farm:
    print(ground.folder, flush=True)
    farm.dispatchers[0].wait_end(60)
"""


def test_jobs_end_though_a_worker_is_killed_and_nothing_is_left(ground: Ground) -> None:
    with Farm.open(ground) as farm:
        first, second = farm.submit(), farm.submit()
        farm.wait_drawing(first).restart()
        assert farm.wait_ended([first, second]) == {first: "complete", second: "complete"}
        families = [each for process in farm.processes for each in process.family()]
    assert not alive(families)
    assert not farm.folder.exists()


def test_a_job_may_come_through_the_ingress(ground: Ground) -> None:
    with Farm.open(ground, api=True) as farm:
        job_id = farm.client.submit(ground.picture, ground.clip, {})["job_id"]
        assert farm.wait_ended([job_id]) == {job_id: "complete"}
        assert farm.client.job(job_id)["status"] == "complete"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_whoever_runs_the_trial(end: signal.Signals) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], env=env, stdout=-1, stderr=-1, text=True
    ) as trial:
        assert trial.stdout
        folder = Path(trial.stdout.readline().strip())
        marked = [each for found in (folder, *folder.glob("farm-*")) for each in members(str(found))]
        assert {"postgres", "redis-server"} <= {psutil.Process(each.pid).name() for each in marked}
        trial.send_signal(end)
    until(lambda: not folder.exists() and not alive(marked), 30, "the janitor")
