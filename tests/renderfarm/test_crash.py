"""Crash points: off unless armed, exact when they are, and each of them placed in the code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.spec import Stage
from renderfarm import crash
from renderfarm.crash import Armed, Point
from renderfarm.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = """
import sys
from pipeline.spec import Stage
from renderfarm import crash
from renderfarm.settings import Settings
settings = Settings.from_env()
for stage in ("analyse", "segment", "segment", "stitch"):
    crash.here(settings, crash.Point.CLAIMED, Stage(stage))
    crash.here(settings, crash.Point.FINISHED, Stage(stage))
    print(stage)
"""


def run(armed: str) -> tuple[int, list[str]]:
    """How a process armed so ended, and how far it came."""
    env = {**os.environ, "DATABASE_URL": "postgresql://nowhere", "FARM_CRASH_AT": armed}
    command = [sys.executable, "-u", "-c", _PROGRAM]
    done = subprocess.run(command, env=env, cwd=ROOT, stdout=-1, text=True, check=False)
    return done.returncode, done.stdout.split()


def test_nothing_happens_unless_it_is_armed() -> None:
    settings = Settings(database_url="postgresql://nowhere")
    assert not settings.crash_at
    for point in Point:
        crash.here(settings, point, Stage.SEGMENT)


@pytest.mark.parametrize(
    ("armed", "passed"),
    [
        ("claimed", []),
        ("finished", []),
        ("claimed:2", ["analyse"]),
        ("claimed/segment", ["analyse"]),
        ("finished/segment:2", ["analyse", "segment"]),
    ],
)
def test_a_process_dies_at_its_point(armed: str, passed: list[str]) -> None:
    assert run(armed) == (-signal.SIGKILL, passed)


def test_a_point_that_is_not_passed_so_often_kills_nobody() -> None:
    assert run("claimed/segment:3") == (0, ["analyse", "segment", "segment", "stitch"])


def test_with_a_token_it_dies_once(tmp_path: Path) -> None:
    (token := tmp_path / "token").touch()
    assert run(f"claimed/stitch@{token}") == (-signal.SIGKILL, ["analyse", "segment", "segment"])
    assert not token.exists()
    assert run(f"claimed/stitch@{token}")[0] == 0


def test_a_process_may_stand_still_instead() -> None:
    env = {**os.environ, "DATABASE_URL": "postgresql://nowhere", "FARM_CRASH_AT": "finished/stitch+stop"}
    command = [sys.executable, "-u", "-c", _PROGRAM]
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=-1) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    "text", ["nowhere", "claimed/lunch", "claimed:0", "claimed+twice", "claimed segment"]
)
def test_what_is_no_point_is_refused_with_the_settings(text: str) -> None:
    with pytest.raises(SettingsError, match="FARM_CRASH_AT"):
        Settings.from_env({"DATABASE_URL": "postgresql://nowhere", "FARM_CRASH_AT": text})


def test_what_was_armed_can_be_passed_on() -> None:
    assert str(Armed("claimed/segment:2+parent@/tmp/token")) == "claimed/segment:2+parent@/tmp/token"


def test_every_point_is_at_its_place_in_the_code() -> None:
    """At one; what is stored is drawn or fetched."""
    rooms = [path for room in ("api", "renderfarm", "workers") for path in (ROOT / room).rglob("*.py")]
    source = "".join(path.read_text() for path in rooms if "trial" not in path.parts)
    placed = re.findall(r"crash\.here\([^)]*Point\.(\w+)", source)
    assert sorted(placed) == sorted([*(point.name for point in Point), "STORED", "STORING"])
