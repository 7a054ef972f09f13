"""A decoder that was taken over: what it tries from inside the cage, and does not get."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Unreadable
from pipeline.ffmpeg import landlock, probe, seccomp
from pipeline.ffmpeg.cage import Cage, Inmate, Limits
from pipeline.ffmpeg.probe import inspect
from pipeline.ffmpeg.tool import running
from tests.clips import make_clip
from tests.waiting import until

SECRET = "postgresql://farm:a-secret@db.internal/farm"

needs_a_cage = pytest.mark.skipif(
    not landlock.version() or not seccomp.available(), reason="this kernel has no Landlock or no seccomp"
)

#: Tries everything, and tells what it got: an error's name, or what it should not have.
_DECODER = r"""
import ctypes, json, os, resource, signal, socket, sys
given = json.loads(sys.argv[1])
found = {}

def attempt(name, what):
    try:
        found[name] = repr(what())
    except Exception as error:
        found[name] = type(error).__name__

def call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "done"

def raised():
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

def connected():
    with socket.create_connection(("127.0.0.1", given["port"]), 2):
        return "connected"

parent = os.getppid()
numbers = (101, 310, 272) if os.uname().machine == "x86_64" else (117, 270, 97)
attempt("environment", lambda: sorted(set(os.environ) - {"LC_CTYPE"}))
attempt("parent's environment", lambda: open(f"/proc/{parent}/environ", "rb").read())
attempt("parent's memory", lambda: open(f"/proc/{parent}/mem", "rb").read(1))
attempt("processes", lambda: os.listdir("/proc"))
attempt("connect", connected)
attempt("unix socket", lambda: socket.socket(socket.AF_UNIX))
attempt("ptrace", lambda: call(numbers[0], 16, parent, 0, 0))
attempt("read another's memory", lambda: call(numbers[1], parent, 0, 0, 0, 0, 0))
attempt("io_uring", lambda: call(425, 1, 0))
attempt("kill", lambda: os.kill(parent, 0))
attempt("own namespace", lambda: call(numbers[2], 0x10000000))
attempt("more time", raised)
attempt("the farm's folder", lambda: os.listdir(given["folder"]))
attempt("another's file", lambda: open(given["other"]).read())
attempt("write into the source", lambda: open(given["source"], "a").write("x"))
attempt("write beside the output", lambda: open(given["output"] + ".more", "w"))
attempt("write into /tmp", lambda: open("/tmp/escaped", "w"))
attempt("write into its folder", lambda: open("here", "w"))
attempt("passwords", lambda: open("/etc/passwd").read())
attempt("read the source", lambda: open(given["source"]).read())
attempt("write the output", lambda: open(given["output"], "w").write("ok"))

def is_open(number):
    try:
        os.fstat(number)
        return True
    except OSError:
        return False

attempt("descriptors", lambda: [n for n in range(3, 64) if is_open(n)])
attempt("cpu limit", lambda: resource.getrlimit(resource.RLIMIT_CPU)[0])
print(json.dumps(found))
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def told_by(program: str, cage: Cage, *arguments: str) -> str:
    """What a Python program prints inside of the cage."""
    with tempfile.TemporaryFile() as complaints:
        command = ["-I", "-S", "-c", program, *arguments]
        inmate = Inmate(Path(sys.executable), command, cage, stdin=False, complaints=complaints)
        try:
            assert inmate.process.stdout is not None
            with inmate.process.stdout as out:
                text = out.read().decode()
            assert inmate.process.wait() == 0, complaints.seek(0) or complaints.read().decode()
            return text
        finally:
            inmate.close()


#: Where this Python's own files lie.
PYTHON = tuple({Path(sys.base_prefix), Path(sys.prefix), Path(sys.executable).resolve().parents[1]})


def attempts(tmp_path: Path, port: int, limits: Limits) -> dict[str, Any]:
    source, output, other = (tmp_path / name for name in ("source", "output", "other"))
    source.write_text("a video")
    other.write_text("another account's video")
    given = {"folder": str(tmp_path), "source": str(source), "output": str(output), "other": str(other)}
    cage = Cage(reads=[source], writes=[output], programs=PYTHON, limits=limits)
    found: dict[str, Any] = json.loads(told_by(_DECODER, cage, json.dumps({**given, "port": port})))
    assert output.read_text() == "ok"
    return found


@needs_a_cage
def test_a_decoder_that_was_taken_over_gets_at_nothing(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", SECRET)
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        found = attempts(tmp_path, listener.getsockname()[1], Limits(cpu_seconds=7))
    finally:
        os.close(leaked)
    assert found.pop("environment") == "['LC_ALL']"
    assert found.pop("descriptors") == "[]"
    assert found.pop("cpu limit") == "7"
    assert found.pop("read the source") == "'a video'"
    assert found.pop("write the output") == "2"
    assert found.pop("write into its folder") in ("FileNotFoundError", "PermissionError")
    # setrlimit says it as a ValueError; all else is not permitted.
    assert found.pop("more time") in ("ValueError", "PermissionError")
    assert set(found.values()) == {"PermissionError"}, found
    assert not Path("/tmp/escaped").exists()


@needs_a_cage
def test_a_source_on_the_network_opens_its_own_port_and_no_file(
    tmp_path: Path, listener: socket.socket
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as neighbour:
        ports = [listener.getsockname()[1], neighbour.getsockname()[1]]
        program = (
            "import socket, sys\n"
            "for port in sys.argv[1:]:\n"
            "    try:\n"
            "        socket.create_connection(('127.0.0.1', int(port)), 2).close(); print('in')\n"
            "    except PermissionError: print('refused')\n"
            "try: socket.socket(socket.AF_UNIX)\n"
            "except PermissionError: print('refused')\n"
        )
        cage = Cage(reads=[f"http://127.0.0.1:{ports[0]}/video"], programs=PYTHON)
        assert told_by(program, cage, *map(str, ports)).split() == ["in", "refused", "refused"]


def test_a_program_cannot_take_more_than_its_limits(tmp_path: Path) -> None:
    program = "try: bytearray(900 << 20); print('taken')\nexcept MemoryError: print('refused')"
    limits = Limits(memory=600 << 20)
    assert told_by(program, Cage(programs=PYTHON, limits=limits)).split() == ["refused"]


def test_whoever_started_a_program_is_as_free_as_before(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    probe(clip)
    (tmp_path / "mine").write_text("still")
    with socket.socket(socket.AF_UNIX):
        assert list(Path("/proc").iterdir())
    done = subprocess.run(["ls", str(tmp_path)], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["clip.mp4", "mine"]


def test_a_program_that_goes_on_for_too_long_is_ended(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    arguments = ["-nostdin", "-re", "-stream_loop", "-1", "-i", f"file:{clip}", "-f", "null", "-"]
    begun = time.monotonic()
    with running("ffmpeg", arguments, reads=[clip], limits=Limits(seconds=0.3)) as child:
        assert child.process.wait() < 0
    assert time.monotonic() - begun < 10


def test_what_makes_a_program_compute_without_an_end_is_at_fault_itself(tmp_path: Path) -> None:
    arguments = ["-nostdin", "-f", "lavfi", "-i", "testsrc2=size=1280x720", "-f", "null", "-"]
    with running("ffmpeg", arguments, limits=Limits(cpu_seconds=1)) as child:
        assert child.process.wait() != 0
        assert isinstance(child.failure("reading", Unreadable), Unreadable)


def test_nothing_is_left_of_a_cage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    inspect(clip)
    assert list(scratch.iterdir()) == []
    until(lambda: not any(each.name.startswith("cage of") for each in threading.enumerate()))
