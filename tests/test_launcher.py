"""The launcher, real, on a machine of which only what it may touch is real: PATH holds nothing else.

uv and pip are stand-ins that note what they are asked; everything else that the script does is done.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[1]
_REAL = (
    "sh",
    "dirname",
    "readlink",
    "cat",
    "cksum",
    "awk",
    "mkdir",
    "rm",
    "mv",
    "cp",
    "chmod",
    "ln",
    "sleep",
    "ls",
)
#: Makes the environment for uv; all else is the real Python's.
_PYTHON = """#!/bin/sh
case "$*" in
*"import ensurepip"*) [ ! -e "{machine}/no-ensurepip" ] ;;
"-m venv "*)
    echo "python -m venv" >>"{machine}/calls"
    mkdir -p "$3/bin"
    cp "{machine}/pip" "$3/bin/python"
    ;;
*) exec "{python}" "$@" ;;
esac
"""
_PIP = """#!/bin/sh
case "$*" in *install*) cp "{machine}/uv" "${{0%python}}uv" ;; *) exit 1 ;; esac
"""
_UV = """#!/bin/sh
case "$1 $2" in
"--version "*) exit 0 ;;
venv*)
    for last; do :; done
    mkdir -p "$last/bin"
    ln -s "{python}" "$last/bin/python"
    ;;
"pip sync") while [ -e "{machine}/slow-net" ]; do sleep 0.05; done ;;
"pip install")
    printf '#!/bin/sh\\nprintf "<%%s>" "$@"\\n' >.venv/bin/farm
    chmod +x .venv/bin/farm
    ;;
esac
echo "uv $1 $2" >>"{machine}/calls"
"""
_EVERYTHING = ["python -m venv", "uv venv --quiet", "uv pip sync", "uv pip install"]


class Machine:
    """A machine with Python, ffmpeg and Redis, and a clone of the farm on it."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.clone = folder / "a clone"
        self.folder = folder
        self.bin.mkdir()
        self.clone.mkdir()
        for name in _REAL:
            found = shutil.which(name)
            assert found is not None, name
            (self.bin / name).symlink_to(found)
        for name in ("farm", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, self.clone / name)
        words = {"machine": folder, "python": Path(sys.executable).resolve()}
        self.program("../pip", _PIP.format(**words))
        self.program("../uv", _UV.format(**words))
        self.program("python3", _PYTHON.format(**words))
        self.program("df", "#!/bin/sh\nprintf 'head\\ndisk 0 0 99999999 0 /\\n'\n")
        self.says("uname", "case $1 in -m) echo x86_64 ;; *) echo Linux ;; esac")
        self.says("id", "echo 1000")
        for name in ("ffmpeg", "ffprobe", "redis-server", "promtool"):
            self.says(name, "true")

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def says(self, name: str, script: str) -> None:
        self.program(name, f"#!/bin/sh\n{script}\n")

    def lacks(self, *names: str) -> None:
        for name in names:
            (self.bin / name).unlink()

    @property
    def calls(self) -> list[str]:
        """What the stand-ins were asked."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def start(
        self, *words: str, farm: Path | str | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        environ: Mapping[str, str] = {"PATH": str(self.bin), "HOME": str(self.folder)}
        return subprocess.Popen(
            [farm or self.clone / "farm", *words],
            env=environ,
            cwd=cwd or self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *words: str, farm: Path | str | None = None, cwd: Path | None = None, fine: bool = True
    ) -> tuple[str, str]:
        """What it printed: stdout and stderr."""
        process = self.start(*words, farm=farm, cwd=cwd)
        out, err = process.communicate(timeout=60)
        assert (process.returncode == 0) is fine, err
        return out, err


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_call_sets_up_and_hands_every_word_over(machine: Machine) -> None:
    out, err = machine.run("render", "a picture.png", "", "--model=*")
    assert out == "<render><a picture.png><><--model=*>"
    assert machine.calls == _EVERYTHING
    assert "uv" in err


def test_the_second_call_does_nothing_and_takes_no_time(machine: Machine) -> None:
    machine.run("up")
    times = []
    for _ in range(3):
        began = time.monotonic()
        assert machine.run("up") == ("<up>", "")
        times.append(time.monotonic() - began)
    assert machine.calls == _EVERYTHING
    assert min(times) < 0.5


def test_it_is_found_through_symlinks_and_from_anywhere(machine: Machine) -> None:
    machine.run("up")
    (machine.folder / "links").mkdir()
    absolute, relative = machine.folder / "links" / "one", machine.folder / "links" / "two"
    absolute.symlink_to(machine.clone / "farm")
    relative.symlink_to(Path("one"))
    for farm in (absolute, relative):
        assert machine.run("status", farm=farm, cwd=Path("/"))[0] == "<status>"
    assert machine.run("status", farm="./farm", cwd=machine.clone)[0] == "<status>"
    assert machine.calls == _EVERYTHING


def test_an_install_that_was_killed_is_made_again_from_nothing(machine: Machine) -> None:
    (machine.folder / "slow-net").touch()
    process = machine.start("up")
    until(lambda: "uv venv --quiet" in machine.calls)
    process.send_signal(signal.SIGKILL)
    (machine.clone / ".venv" / "half").touch()
    (machine.folder / "slow-net").unlink()
    process.communicate(timeout=30)
    assert machine.run("up")[0] == "<up>"
    assert machine.calls.count("uv venv --quiet") == 2
    assert not (machine.clone / ".venv" / "half").exists()


def test_another_lock_is_installed_into_the_environment_that_is_there(machine: Machine) -> None:
    machine.run("up")
    with (machine.clone / "requirements.lock").open("a") as lock:
        lock.write("# another\n")
    assert machine.run("up")[0] == "<up>"
    assert machine.calls[len(_EVERYTHING) :] == ["uv pip sync", "uv pip install"]


def test_a_clone_that_was_moved_gets_a_new_environment(machine: Machine) -> None:
    machine.run("up")
    moved = machine.folder / "elsewhere"
    machine.clone.rename(moved)
    assert machine.run("up", farm=moved / "farm")[0] == "<up>"
    assert machine.calls[len(_EVERYTHING) :] == ["uv venv --quiet", "uv pip sync", "uv pip install"]


def test_two_first_calls_at_once_set_up_once(machine: Machine) -> None:
    (machine.folder / "slow-net").touch()
    both = [machine.start("up"), machine.start("up")]
    until(lambda: "uv venv --quiet" in machine.calls)
    (machine.folder / "slow-net").unlink()
    assert [process.communicate(timeout=60)[0] for process in both] == ["<up>", "<up>"]
    assert machine.calls == _EVERYTHING


def test_without_the_right_python_it_says_which(machine: Machine) -> None:
    machine.says("python3", "exit 127")
    machine.says("python3.12", "echo 'a shim without its version' >&2; exit 127")
    # The last resort has to be shut, too.
    script = (machine.clone / "farm").read_text()
    (machine.clone / "farm").write_text(script.replace(" /usr/bin/python3;", ";"))
    assert "Python 3.11 or 3.12 is needed" in machine.run("up", fine=False)[1]


def test_an_intel_mac_is_refused_in_a_sentence(machine: Machine) -> None:
    machine.says("uname", "case $1 in -m) echo x86_64 ;; *) echo Darwin ;; esac")
    assert "Intel Macs are not supported" in machine.run("up", fine=False)[1]
    assert machine.calls == []


def test_too_little_disk_is_told_before_anything_is_fetched(machine: Machine) -> None:
    machine.says("df", "printf 'head\\ndisk 0 0 5000000 0 /\\n'")
    assert "8 GB of free disk" in machine.run("up", fine=False)[1]
    assert machine.calls == []


@pytest.mark.parametrize(
    ("system", "told"),
    [
        ("Linux x86_64", "sudo apt-get install -y ffmpeg redis-server"),
        ("Linux aarch64", "sudo apt-get install -y ffmpeg redis-server"),
        ("Darwin arm64", "brew install ffmpeg redis"),
    ],
)
def test_where_it_may_not_install_it_says_what_to_run(machine: Machine, system: str, told: str) -> None:
    name, kind = system.split()
    machine.says("uname", f"case $1 in -m) echo {kind} ;; *) echo {name} ;; esac")
    machine.lacks("ffmpeg", "redis-server")
    if name == "Linux":
        machine.says("apt-get", "echo apt-get >>../calls; exit 1")
    assert told in machine.run("up", fine=False)[1]
    assert machine.calls == []


def test_a_system_without_apt_is_told_the_names(machine: Machine) -> None:
    machine.lacks("ffprobe")
    assert "lacks: ffmpeg" in machine.run("up", fine=False)[1]


def test_where_sudo_asks_nothing_it_installs_what_is_missing(machine: Machine) -> None:
    machine.lacks("ffprobe", "redis-server")
    (machine.folder / "no-ensurepip").touch()
    machine.says("apt-get", "exit 1")  # only sudo may
    machine.says(
        "sudo",
        f"""
        [ "$*" = "-n true" ] && exit 0
        shift 5
        echo "apt $*" >>"{machine.folder}/calls"
        for name in ffprobe redis-server; do cp "{machine.bin}/ffmpeg" "{machine.bin}/$name"; done
        """,
    )
    assert machine.run("up")[0] == "<up>"
    venv = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    assert machine.calls[0] == f"apt ffmpeg redis-server {venv}"
    assert machine.calls[1:] == _EVERYTHING


def test_a_redis_elsewhere_needs_none_here(machine: Machine) -> None:
    machine.lacks("redis-server")
    assert "redis-server" in machine.run("up", fine=False)[1]
    machine.program("env-farm", f'#!/bin/sh\nREDIS_URL=redis://there exec "{machine.clone}/farm" "$@"\n')
    assert machine.run("up", farm=machine.bin / "env-farm")[0] == "<up>"


def test_the_tests_run_without_what_only_some_of_them_need(machine: Machine) -> None:
    machine.lacks("promtool")
    out, err = machine.run("test", "-k", "api")
    assert out == "<test><-k><api>"
    assert "alert rules are skipped" in err
    assert machine.run("up")[1] == ""


def test_it_names_no_registry() -> None:
    script = (ROOT / "farm").read_text()
    assert "http:" not in script
    assert "https:" not in script
    assert os.access(ROOT / "farm", os.X_OK)
