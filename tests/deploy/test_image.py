"""The image: judged by hadolint where it is installed, and by what an image of ours must be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.processes import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str


@pytest.fixture(scope="module")
def stages() -> list[list[Instruction]]:
    """The Dockerfile's instructions, stage by stage; comments gone, continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[list[Instruction]] = []
    for line in filter(None, "\n".join(lines).replace("\\\n", " ").splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append(Instruction(word, " ".join(rest.split())))
    return found


def copied(stage: list[Instruction]) -> list[str]:
    """The paths of the repository that a stage takes in."""
    words = [i.rest.split()[:-1] for i in stage if i.word == "COPY" and "--from=" not in i.rest]
    return [source for sources in words for source in sources]


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_stage_starts_from_the_same_pinned_python(stages: list[list[Instruction]]) -> None:
    bases = {stage[0].rest.split()[0] for stage in stages}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases.pop())


def test_the_libraries_come_from_the_lock(stages: list[list[Instruction]]) -> None:
    runs = [i.rest for i in stages[0] if i.word == "RUN"]
    assert any("uv pip sync" in run and run.endswith(" requirements.lock") for run in runs)
    assert any("uv pip install" in run and "--no-deps" in run for run in runs)


def test_all_that_the_package_is_made_of_reaches_the_builder(stages: list[list[Instruction]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "requirements.lock", project["project"]["readme"]}
    needed |= set(project["project"]["license-files"])
    needed |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert set(copied(stages[0])) == needed
    assert {str(path) for path in needed if not (ROOT / path).exists()} == set()

    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert rules[1] == "*", "everything is left out but for what is named"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == needed


def test_the_final_stage_runs_as_nobody_in_particular_and_keeps_no_build_tools(
    stages: list[list[Instruction]],
) -> None:
    last = stages[-1]
    user = [i.rest for i in last if i.word == "USER"]
    assert len(user) == 1
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user[0]), "Kubernetes tells non-root by number only"
    assert {i.word for i in last[last.index(Instruction("USER", user[0])) :]} <= {"USER", "CMD"}
    (run,) = (i.rest for i in last if i.word == "RUN")
    installed = re.search(r"apt-get install ([^&]*)", run)
    assert installed is not None
    assert installed[1].split() == ["--yes", "--no-install-recommends", "ffmpeg"]
    assert "pip uninstall" in run
    assert copied(last) == []


def test_compose_and_kubernetes_judge_health_and_not_the_image(stages: list[list[Instruction]]) -> None:
    assert not [i for stage in stages for i in stage if i.word in {"HEALTHCHECK", "ENTRYPOINT"}]
