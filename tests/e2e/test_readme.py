"""The README's commands do what it says, as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, RunningFarm
from tests.e2e.test_render import ended

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def run(farm: RunningFarm, block: str) -> subprocess.CompletedProcess[str]:
    """Run a block in the checkout, as pasted but for this farm's own port and folder."""
    here = block.replace("http://127.0.0.1:8080", farm.url).replace(".farm/", f"{farm.home}/")
    return subprocess.run(
        ["sh", "-eu", "-c", here], cwd=ROOT, env=farm.environ, capture_output=True, text=True, check=False
    )


@pytest.fixture
def made_here() -> Iterator[Path]:
    """Where the README's own example writes."""
    path = ROOT / "out.mp4"
    assert not path.exists(), "out.mp4 is in the way"
    yield path
    path.unlink(missing_ok=True)


def test_every_block_is_one_that_these_tests_run() -> None:
    first_words = [" ".join(block.split()[:2]) for block in BLOCKS]
    people = ".venv/bin/python -m"
    assert first_words == ["./farm demo", "./farm up", "curl -sS", "./farm render", people]


def test_the_demo_ends_with_a_finished_video(running_farm: RunningFarm) -> None:
    done = run(running_farm, BLOCKS[0])
    assert done.returncode == 0, done.stderr
    path, url = done.stdout.split()
    assert Path(path).stat().st_size > 100_000
    assert url == running_farm.url


def test_up_says_where_a_farm_that_runs_already_is(running_farm: RunningFarm) -> None:
    done = run(running_farm, BLOCKS[1])
    assert done.returncode == 0, done.stderr
    assert running_farm.url in done.stdout and running_farm.key in done.stdout


def test_the_curl_command_sends_a_job(running_farm: RunningFarm) -> None:
    done = run(running_farm, BLOCKS[2])
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["status"] == "queued"
    assert running_farm.farm("job", job["job_id"], "--cancel").returncode == 0
    assert ended(running_farm, job["job_id"])["status"] == "cancelled"


def test_the_render_command_writes_the_video(running_farm: RunningFarm, made_here: Path) -> None:
    done = run(running_farm, BLOCKS[3])
    assert done.returncode == 0, done.stderr
    assert made_here.stat().st_size > 100_000


def test_the_people_of_the_sample_are_named(running_farm: RunningFarm) -> None:
    done = run(running_farm, BLOCKS[4])
    assert done.returncode == 0, done.stderr
    (dancer,) = json.loads(done.stdout)
    assert dancer["id"].startswith("person_") and dancer["seconds"] == 6.0
