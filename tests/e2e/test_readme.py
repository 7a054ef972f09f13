"""The README's commands do what it says, as they stand there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import BLOCKS, RunningFarm
from tests.e2e.test_render import ended

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_every_block_is_one_that_these_tests_run() -> None:
    first_words = [" ".join(block.split()[:2]) for block in BLOCKS]
    people = ".venv/bin/python -m"
    assert first_words == ["./farm demo", "./farm up", "curl -sS", "./farm render", people]


def test_the_demo_ends_with_a_finished_video(running_farm: RunningFarm) -> None:
    done = running_farm.readme(0)
    assert done.returncode == 0, done.stderr
    path, url = done.stdout.split()
    assert Path(path).stat().st_size > 100_000
    assert url == running_farm.url


def test_up_says_where_a_farm_that_runs_already_is(running_farm: RunningFarm) -> None:
    done = running_farm.readme(1)
    assert done.returncode == 0, done.stderr
    assert running_farm.url in done.stdout and running_farm.key in done.stdout


def test_the_curl_command_sends_a_job(running_farm: RunningFarm) -> None:
    done = running_farm.readme(2)
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["status"] == "queued"
    assert running_farm.farm("job", job["job_id"], "--cancel").returncode == 0
    assert ended(running_farm, job["job_id"])["status"] == "cancelled"


def test_the_render_command_writes_the_video(rendered: Path) -> None:
    assert rendered.stat().st_size > 100_000


def test_the_people_of_the_sample_are_named(running_farm: RunningFarm) -> None:
    done = running_farm.readme(4)
    assert done.returncode == 0, done.stderr
    (dancer,) = json.loads(done.stdout)
    assert dancer["id"].startswith("person_") and dancer["seconds"] == 6.0
