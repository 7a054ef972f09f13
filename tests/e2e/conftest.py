"""A whole farm, started as a user starts it: ``farm up``, in a folder of its own, on free ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from renderfarm.local import postgres

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
FARM = Path(sys.executable).with_name("farm")
#: The README's commands.
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class RunningFarm:
    """A farm that answers, and how to speak to it."""

    home: Path
    url: str
    key: str

    @property
    def environ(self) -> Mapping[str, str]:
        return {**os.environ, "FARM_HOME": str(self.home)}

    def farm(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command line on this farm."""
        return subprocess.run(
            [FARM, *words], env=self.environ, cwd=cwd, capture_output=True, text=True, check=False
        )

    def get(self, path: str, **kwargs: object) -> requests.Response:
        return requests.get(f"{self.url}{path}", timeout=30, **kwargs)  # type: ignore[arg-type]

    def readme(self, number: int) -> subprocess.CompletedProcess[str]:
        """Run one of the README's blocks in the checkout, as pasted but for this farm's port and folder."""
        here = BLOCKS[number].replace("http://127.0.0.1:8080", self.url).replace(".farm/", f"{self.home}/")
        command = ["sh", "-eu", "-c", here]
        return subprocess.run(
            command, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=False
        )

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture(scope="session")
def running_farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFarm]:
    home = tmp_path_factory.mktemp("farm") / "home"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FARM_")}
    environ = {name: value for name, value in environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    environ["FARM_HOME"] = str(home)
    done = subprocess.run([FARM, "up", "-d"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    try:
        told = subprocess.run([FARM, "status", "--json"], env=environ, capture_output=True, check=True)
        yield RunningFarm(home, json.loads(told.stdout)["api"], (home / "key").read_text().strip())
    finally:
        subprocess.run([FARM, "down"], env=environ, check=True, capture_output=True)
        shutil.rmtree(postgres.data_folder(home), ignore_errors=True)  # root keeps it elsewhere


@pytest.fixture(scope="session")
def rendered(running_farm: RunningFarm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's own ``./farm render`` writes: the sample, prepared and drawn on demand, by V4."""
    path = ROOT / "out.mp4"
    assert not path.exists(), "out.mp4 is in the way"
    try:
        done = running_farm.readme(3)
        assert done.returncode == 0, done.stderr
        return Path(shutil.move(path, tmp_path_factory.mktemp("rendered") / "out.mp4"))
    finally:
        path.unlink(missing_ok=True)
