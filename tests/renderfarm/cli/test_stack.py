"""``farm up`` and ``farm down``, with everything that may happen in between. Nothing is ever left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from renderfarm.local import postgres, processes
from renderfarm.local.home import Home
from tests.waiting import until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]
_FARM = Path(sys.executable).with_name("farm")


class Farm:
    """A farm in a folder of its own, by its command line."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._environ = {**os.environ, "FARM_HOME": str(home.root)}

    def run(self, *words: str, fine: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [_FARM, *words], env=self._environ, capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode == 0) is fine, done.stdout + done.stderr
        return done

    def up(self) -> subprocess.Popen[str]:
        """``farm up`` in the foreground; its output is read line by line."""
        return subprocess.Popen(
            [_FARM, "up"], env=self._environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def status(self) -> dict[str, dict[str, object]]:
        """What ``farm status`` says of each process."""
        told = json.loads(self.run("status", "--json").stdout)
        return {one["process"]: one for one in told["processes"]}

    def left(self) -> list[psutil.Process]:
        return processes.members(self.home.stack_id)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for all: what a test leaves on disk is what the next one starts from."""
    folder = tmp_path_factory.mktemp("a farm") / "home"
    folder.mkdir()
    yield folder
    shutil.rmtree(postgres.data_folder(folder), ignore_errors=True)


@pytest.fixture
def farm(folder: Path) -> Iterator[Farm]:
    farm = Farm(Home(folder))
    yield farm
    processes.sweep(farm.home.stack_id)


def _read_until(process: subprocess.Popen[str], word: str) -> str:
    """Read lines up to one with ``word`` in it; answers them."""
    assert process.stdout is not None
    lines = ""
    for line in process.stdout:
        lines += line
        if word in line:
            return lines
    raise AssertionError(f"{word!r} did not appear in:\n{lines}")


def _end(process: subprocess.Popen[str], *, code: int = 0) -> str:
    """The rest of the output, once it has ended as it should."""
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == code, rest
    return rest


@pytest.fixture
def default_ports_taken() -> Iterator[None]:
    """Somebody else listens where the API and Flower would like to."""
    listeners = []
    for port in (8080, 5555):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:  # somebody on this machine does already
            listener.close()
        else:
            listeners.append(listener)
    yield
    for listener in listeners:
        listener.close()


@pytest.mark.usefixtures("default_ports_taken")
def test_ctrl_c_stops_everything_and_everything_is_there_at_the_next_start(farm: Farm) -> None:
    process = farm.up()
    _read_until(process, "Flower")
    url = json.loads(farm.run("status", "--json").stdout)["api"]
    assert not url.endswith(":8080")
    key = farm.home.key.read_text().strip()
    first = requests.get(f"{url}/api/credits", headers={"Authorization": f"Bearer {key}"}, timeout=10).json()
    assert first["balance"] == 1000
    pids = {one["pid"] for one in farm.status().values()}
    assert key in farm.run("up").stdout, "a second `farm up` says where the first one is"
    assert {one["pid"] for one in farm.status().values()} == pids
    process.send_signal(signal.SIGINT)
    assert "stopped" in _end(process)
    assert farm.left() == []

    farm.run("up", "-d")
    assert farm.home.key.read_text().strip() == key
    shown = json.loads(farm.run("credits", "show", "local", "--json").stdout)
    assert [entry["kind"] for entry in shown["entries"]] == ["grant"]

    supervisor = processes.supervisor_of(farm.home.stack_id)
    assert supervisor is not None
    supervisor.kill()
    until(lambda: processes.supervisor_of(farm.home.stack_id) is None)
    assert farm.left() != [], "what a killed supervisor leaves"
    farm.run("down")
    assert farm.left() == []


@pytest.mark.parametrize("moment", ["starting the services", "starting the farm"])
def test_ctrl_c_while_it_starts_leaves_nothing(farm: Farm, moment: str) -> None:
    process = farm.up()
    _read_until(process, moment)
    process.send_signal(signal.SIGINT)
    _end(process)
    assert farm.left() == []


def test_a_second_ctrl_c_hurries_and_still_leaves_nothing(farm: Farm) -> None:
    process = farm.up()
    _read_until(process, "Flower")
    process.send_signal(signal.SIGINT)
    _read_until(process, "once more to hurry")
    process.send_signal(signal.SIGINT)
    _end(process)
    assert farm.left() == []


def test_what_dies_is_started_again_and_down_stops_what_a_killed_up_left(farm: Farm, tmp_path: Path) -> None:
    process = farm.up()
    _read_until(process, "Flower")
    until(lambda: farm.status()["worker-v3"]["state"] == "running", 60)
    text = tmp_path / "not-a-video.mp4"
    text.write_text("no video")
    refused = farm.run("render", str(text), str(text), "-o", str(tmp_path / "out.mp4"), fine=False)
    assert "CS-ORIV-003" in refused.stderr
    assert "Send the video as MP4" in refused.stderr
    assert json.loads(farm.run("jobs", "--json").stdout) == []
    assert "CS-UORC01-110" in farm.run("job", "job_unknown", fine=False).stderr

    before = farm.status()["worker-v3"]["pid"]
    assert isinstance(before, int)
    os.kill(before, signal.SIGKILL)
    until(lambda: farm.status()["worker-v3"]["pid"] not in (None, before), 60)

    process.kill()
    _end(process, code=-signal.SIGKILL)
    assert {one["state"] for one in farm.status().values()} <= {"running", "starting"}
    assert "stopped" in farm.run("down").stdout
    assert farm.left() == []
    assert "nothing was running" in farm.run("down").stdout
    assert "not running" in farm.run("status", fine=False).stdout


def test_an_engine_for_development_is_refused_elsewhere_before_anything_starts(farm: Farm) -> None:
    farm._environ["ENGINE_V4"] = "fixed:ms=20"
    told = farm.run("up", "-d", fine=False).stderr
    assert "ENGINE_V4" in told and "FARM_DEVELOPMENT=1" in told
    assert "Traceback" not in told
    assert farm.left() == []


def test_a_database_that_does_not_answer_is_named(farm: Farm) -> None:
    farm._environ["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    told = farm.run("up", "-d", fine=False).stderr
    assert "DATABASE_URL" in told
    assert "Traceback" not in told
    assert farm.left() == []
