"""The supervisor, real, with small programs that tell what happens to them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from renderfarm.local import processes
from renderfarm.local.home import Home
from renderfarm.local.ports import free_port
from renderfarm.local.supervisor import Program, Supervisor
from tests.waiting import until

#: Says its name and pid, starts a child, and on SIGTERM does what it was told to.
_SOLDIER = """
import os, signal, subprocess, sys, time
name, manners = sys.argv[1:]
def on_term(*_):
    print("asked", name, time.monotonic(), flush=True)
    if manners == "polite":
        print("gone", name, time.monotonic(), flush=True)
        sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
child = subprocess.Popen([sys.executable, "-c", '''
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("child was signalled", flush=True))
print("child ready", flush=True)
while True: time.sleep(60)
'''])
print("up", name, os.getpid(), flush=True)
while True:
    time.sleep(60)
"""

Launch = Callable[..., Supervisor]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A farm's folder with all that a configuration file could stumble over in its name."""
    home = Home(tmp_path / 'od"d 100% #;place')
    home.create()
    return home


@pytest.fixture
def launch(home: Home) -> Iterator[Launch]:
    """Start a supervisor with these programs; whatever remains is killed."""

    def start(*programs: Program) -> Supervisor:
        supervisor = Supervisor(home, free_port())
        environ = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            processes.MARK: home.stack_id,
        }
        supervisor.launch(programs, environ, root=os.geteuid() == 0)
        return supervisor

    yield start
    processes.sweep(home.stack_id, grace=0.2)


def _soldier(name: str, place: int, manners: str = "polite", grace: int = 10) -> Program:
    command = (sys.executable, "-c", _SOLDIER, name, manners)
    return Program(name=name, command=command, group=name, place=place, grace=grace, first=True)


def _log(home: Home, name: str) -> str:
    path = home.logs / f"{name}.log"
    return path.read_text() if path.exists() else ""


def _said(home: Home, name: str, word: str) -> list[str]:
    """The last word of each line that starts with ``word``."""
    return [line.split()[-1] for line in _log(home, name).splitlines() if line.startswith(word)]


def _stop(home: Home) -> None:
    supervisor = processes.supervisor_of(home.stack_id)
    assert supervisor is not None
    supervisor.terminate()
    supervisor.wait(timeout=30)


def test_what_is_killed_is_started_again(home: Home, launch: Launch) -> None:
    launch(_soldier("anna", 10))
    until(lambda: _said(home, "anna", "up"))
    os.kill(int(_said(home, "anna", "up")[0]), signal.SIGKILL)
    until(lambda: len(_said(home, "anna", "up")) == 2)


def test_groups_stop_one_after_the_other_the_last_one_first(home: Home, launch: Launch) -> None:
    names = ("first", "second", "third")
    launch(*(_soldier(name, place) for place, name in enumerate(names)))
    until(lambda: all("child ready" in _log(home, name) for name in names))
    _stop(home)
    times = [float(_said(home, name, word)[0]) for name in reversed(names) for word in ("asked", "gone")]
    assert times == sorted(times)


def test_only_the_main_process_is_asked_to_stop(home: Home, launch: Launch) -> None:
    launch(_soldier("anna", 10))
    until(lambda: "child ready" in _log(home, "anna"))
    _stop(home)
    assert _said(home, "anna", "gone")
    assert "child was signalled" not in _log(home, "anna")


def test_who_outstays_the_grace_is_killed_with_all_its_children(home: Home, launch: Launch) -> None:
    launch(_soldier("stubborn", 10, manners="stubborn", grace=1))
    until(lambda: "child ready" in _log(home, "stubborn"))
    main = psutil.Process(int(_said(home, "stubborn", "up")[0]))
    family = [main, *main.children(recursive=True)]
    assert len(family) == 2
    _stop(home)
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert "asked" in _log(home, "stubborn")


def test_a_program_starts_when_it_is_told_to(home: Home, launch: Launch) -> None:
    later = Program(
        name="later", command=(sys.executable, "-c", _SOLDIER, "later", "polite"), group="later", place=5
    )
    supervisor = launch(_soldier("first", 1), later)
    until(lambda: _said(home, "first", "up"))
    assert {one["name"]: one["statename"] for one in supervisor.processes()}["later"] == "STOPPED"
    supervisor.start("later")
    until(lambda: _said(home, "later", "up"))


def test_a_program_is_replaced_while_the_others_go_on_and_its_group_is_stopped(
    home: Home, launch: Launch
) -> None:
    supervisor = launch(_soldier("anna", 10), _soldier("bert", 20))
    until(lambda: all("child ready" in _log(home, name) for name in ("anna", "bert")))
    supervisor.restart("anna", "anna")
    until(lambda: len(_said(home, "anna", "up")) == 2)
    assert len(_said(home, "anna", "gone")) == len(_said(home, "bert", "up")) == 1
    supervisor.stop("bert")
    assert {one["name"]: one["statename"] for one in supervisor.processes()}["bert"] == "STOPPED"
    supervisor.signal("anna", "anna", "TERM")
    until(lambda: len(_said(home, "anna", "gone")) == 2)


def test_its_words_and_variables_reach_the_program_whatever_is_in_them(home: Home, launch: Launch) -> None:
    word = "a \"quoted\" 'word', 100%\\ #;strange=%(value)s"
    program = "import os, sys; print(os.environ['PLAIN'], sys.argv[1], flush=True)"
    command = (sys.executable, "-c", program, word)
    launch(
        Program(name="echo", command=command, group="echo", place=1, environ={"PLAIN": "a:b-c"}, first=True)
    )
    until(lambda: f"a:b-c {word}" in _log(home, "echo"))


def test_a_variable_that_the_file_cannot_hold_is_refused(home: Home) -> None:
    program = Program(name="echo", command=("true",), group="echo", place=1, environ={"WORD": 'a "b"'})
    with pytest.raises(ValueError, match="WORD"):
        Supervisor(home, 1).launch([program], {}, root=False)


def test_what_outlives_a_killed_supervisor_is_swept_up(home: Home, launch: Launch) -> None:
    launch(_soldier("anna", 10))
    until(lambda: "child ready" in _log(home, "anna"))
    supervisor = processes.supervisor_of(home.stack_id)
    assert supervisor is not None
    supervisor.kill()
    supervisor.wait(timeout=10)
    assert len(processes.members(home.stack_id)) == 2
    assert processes.sweep(home.stack_id, grace=0.5) >= 2
    assert processes.members(home.stack_id) == []


def test_a_farm_never_touches_anothers_processes(home: Home, launch: Launch) -> None:
    launch(_soldier("anna", 10))
    until(lambda: _said(home, "anna", "up"))
    assert processes.sweep(home.stack_id + "-2") == 0
    assert processes.supervisor_of(home.stack_id) is not None
