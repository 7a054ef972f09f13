"""The images: judged by hadolint where it is installed, and by what an image of ours must be."""

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
TARGETS = ("api", "worker-cpu", "worker-gpu")


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str


@dataclass(frozen=True)
class Stage:
    """One stage: what it starts from, and its instructions after that."""

    base: str
    instructions: list[Instruction]

    def of(self, word: str) -> list[str]:
        return [each.rest for each in self.instructions if each.word == word]

    def copied(self) -> list[str]:
        """The paths of the repository that it takes in."""
        words = [rest.split()[:-1] for rest in self.of("COPY") if "--from=" not in rest]
        return [source for sources in words for source in sources]


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    """The Dockerfile's stages by name; comments gone, continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: dict[str, Stage] = {}
    for line in filter(None, "\n".join(lines).replace("\\\n", " ").splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = Stage(base, [])
        elif found:
            found[name].instructions.append(Instruction(word, " ".join(rest.split())))
    return found


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_stage_starts_from_the_same_pinned_python(stages: dict[str, Stage]) -> None:
    assert {stage.base for stage in stages.values()} == {"${PYTHON}", "tools", "runtime"}
    (python,) = re.findall(r"^ARG PYTHON=(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", python)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_the_libraries_of_its_lock_and_our_package_over_them(
    stages: dict[str, Stage], target: str
) -> None:
    libraries = stages[f"libraries-{target}"]
    assert libraries.copied() == [f"deploy/locks/{target}.lock"]
    (sync,) = libraries.of("RUN")
    assert re.search(rf"uv pip sync .*--require-hashes {target}\.lock$", sync)
    assert stages[target].of("COPY") == [
        f"--from=libraries-{target} /opt/farm /opt/farm",
        "--from=package /opt/farm /opt/farm",
    ]


def test_all_that_the_package_is_made_of_reaches_the_builder(stages: dict[str, Stage]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "requirements.lock", project["project"]["readme"]}
    needed |= set(project["project"]["license-files"])
    needed |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert set(stages["package"].copied()) == needed
    assert {str(path) for path in needed if not (ROOT / path).exists()} == set()

    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert rules[1] == "*", "everything is left out but for what is named"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == needed | {"deploy/locks"}


def test_what_runs_has_no_build_tools_and_waits_for_what_its_children_leave(
    stages: dict[str, Stage],
) -> None:
    runtime = stages["runtime"]
    (run,) = runtime.of("RUN")
    installed = re.search(r"apt-get install ([^&]*)", run)
    assert installed is not None
    assert installed[1].split() == ["--yes", "--no-install-recommends", "ffmpeg", "tini"]
    assert "pip uninstall" in run
    assert runtime.copied() == []
    assert runtime.of("ENTRYPOINT") == ['["tini", "--"]']


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_nobody_in_particular_and_knows_its_health(
    stages: dict[str, Stage], target: str
) -> None:
    stage = stages[target]
    assert stage.base == "runtime"
    (user,) = stage.of("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "Kubernetes tells non-root by number only"
    after = stage.instructions[stage.instructions.index(Instruction("USER", user)) :]
    assert [each.word for each in after] == ["USER", "HEALTHCHECK", "CMD"]
    (health,) = stage.of("HEALTHCHECK")
    assert ('["python", "-m", "workers", "health"]' in health) == (target != "api")
    assert stage.of("RUN") == [] and "ENTRYPOINT" not in {each.word for each in stage.instructions}
    assert any(f"title=renderfarm-{target}" in label for label in stage.of("LABEL"))
