"""The cage in which ffmpeg and ffprobe run: what a decoder that was taken over could still do.

It has an empty environment, an empty folder, no descriptor but its three, and limits. On Linux the
kernel leaves it its libraries, the files it was given and nothing else (``landlock``), and neither
sockets nor other processes (``seccomp``). For a source that is an address it may connect to that port.

Both are laid on a thread, and a child inherits them from the thread that starts it. So each child is
started by a thread of its own, which is confined first: that costs a fraction of a millisecond, where
a program between would cost as much as a probe, and code between fork and exec is unsafe beside
threads. The thread stays until the child has gone, since the kernel tells a child that its parent died
when that thread ends.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from pipeline.ffmpeg import landlock, seccomp

log = logging.getLogger(__name__)

#: All that the program finds in its environment.
ENVIRONMENT = {"LC_ALL": "C"}
#: Where programs and libraries lie; nobody keeps secrets there.
_SYSTEM = tuple(map(Path, ("/usr", "/bin", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache")))
_DEVICES = tuple(map(Path, ("/dev/urandom", "/dev/random", "/dev/zero")))
_NULL = Path("/dev/null")
#: What it takes to find and to trust a server.
_NAMES = ("resolv.conf", "hosts", "nsswitch.conf", "host.conf", "gai.conf", "ssl", "ca-certificates", "pki")
_RESOLVER = (*(Path("/etc") / name for name in _NAMES), Path("/run/systemd/resolve"))
_DNS = 53
_PORTS = {"http": 80, "https": 443}
_CLOSE_RANGE, _CLOEXEC = 436, 4
#: Of a child that root starts: to read what belongs to others is left to the rules above.
_ROOT = ("--bounding-set=-all,+dac_override", "--inh-caps=-all")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use up."""

    #: Bytes of address space: 4096 x 4096 pixels in 10 bits are read within 1.3 GB.
    memory: int = 8 << 30
    #: Of all its threads together; a whole video of five minutes is read within.
    cpu_seconds: int = 6 * 3600
    #: By the clock; None where whoever reads watches the progress.
    seconds: float | None = None
    #: The largest file it may write.
    file_bytes: int = 64 << 30
    descriptors: int = 64


#: For a look at a file, which ends within seconds unless the file is made to keep us busy.
PROBING = Limits(memory=4 << 30, cpu_seconds=60, seconds=180, file_bytes=64 << 20)
WORKING = Limits()


@dataclass(frozen=True, slots=True)
class Cage:
    """What one child is let at."""

    #: Files, or http(s) addresses.
    reads: Sequence[str | Path] = ()
    #: Files, which are made if they are not there.
    writes: Sequence[Path] = ()
    #: Folders with programs and libraries, besides the system's.
    programs: Sequence[Path] = ()
    limits: Limits = WORKING


class Inmate:
    """A program that runs in a cage. Whoever has started it calls ``close``, when it has ended."""

    def __init__(
        self, program: Path, arguments: Sequence[str], cage: Cage, *, stdin: bool, complaints: IO[bytes]
    ) -> None:
        self._command = [*_limited(cage.limits), str(program), *arguments]
        self._cage = cage
        self._program = program
        self._streams = {"stdin": subprocess.PIPE if stdin else subprocess.DEVNULL, "stderr": complaints}
        self._started, self._over = threading.Lock(), threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._error: BaseException | None = None
        for path in cage.writes:
            path.touch()
        if missing := _missing():
            _warn(missing)
        self._started.acquire()
        self._over.acquire()
        threading.Thread(target=self._live, name=f"cage of {program.name}", daemon=True).start()
        self._started.acquire()
        if self._error is not None:
            raise self._error

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def close(self) -> None:
        """Let the thread go that stands for the child's parent."""
        self._over.release()

    def _live(self) -> None:
        with _starting:
            # A collection would run others' finalizers in here, which may want to open or to kill.
            collects = gc.isenabled()
            gc.disable()
            try:
                self._process = self._start()
            except BaseException as error:
                self._error = error
            finally:
                if collects:
                    gc.enable()
        self._started.release()
        if self._error is None:
            self._over.acquire()

    def _start(self) -> subprocess.Popen[bytes]:
        folder = tempfile.mkdtemp(prefix="cage-")
        home = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The child's own, and gone before it could leave anything in it.
            Path(folder).rmdir()
            closes = not _keep_descriptors_from_children()
            self._confine()
            made: subprocess.Popen[bytes] = subprocess.Popen(
                self._command,
                stdout=subprocess.PIPE,
                bufsize=0,
                env=ENVIRONMENT,
                cwd=f"/proc/self/fd/{home}" if sys.platform == "linux" else "/",
                close_fds=closes,
                **self._streams,  # type: ignore[call-overload]  # mypy knows no keywords from a mapping
            )
            return made
        finally:
            os.close(home)

    def _confine(self) -> None:
        files = [Path(each).absolute() for each in self._cage.reads if not _is_address(each)]
        ports = [_port(str(each)) for each in self._cage.reads if _is_address(each)]
        if landlock.version():
            landlock.confine(
                folders=(*_SYSTEM, *_around(self._program), *self._cage.programs),
                reads=(*_DEVICES, *files, *(_RESOLVER if ports else ())),
                writes=(_NULL, *self._cage.writes),
                ports=(*ports, _DNS) if ports else (),
            )
        if seccomp.available():
            seccomp.confine(network=bool(ports))


#: One at a time: the collector is everybody's.
_starting = threading.Lock()


def _limited(limits: Limits) -> list[str]:
    """The programs before the program: each sets something, and replaces itself by the next."""
    prlimit, setpriv = shutil.which("prlimit"), shutil.which("setpriv")
    if sys.platform == "linux" and prlimit and setpriv:
        cpu = f"{limits.cpu_seconds}:{limits.cpu_seconds + 5}"
        return [
            *[prlimit, f"--as={limits.memory}", f"--cpu={cpu}", f"--fsize={limits.file_bytes}", "--core=0"],
            *[f"--nofile={limits.descriptors}", "--"],
            # A killed worker must leave no encoder behind.
            *[setpriv, "--pdeathsig", "KILL", "--no-new-privs", *(_ROOT if os.geteuid() == 0 else ()), "--"],
        ]
    blocks = limits.file_bytes >> 9
    memory = f"ulimit -v {limits.memory >> 10}; " if sys.platform == "linux" else ""
    sets = f"ulimit -c 0; ulimit -t {limits.cpu_seconds}; ulimit -n {limits.descriptors}; ulimit -f {blocks}"
    return ["/bin/sh", "-c", f'{memory}{sets}; exec "$@"', "cage"]


def _keep_descriptors_from_children() -> bool:
    """Mark whatever a library has left open for children; False where the kernel has no call for all.

    By itself ``subprocess`` would list them in /proc, where a confined thread has no business.
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).syscall(_CLOSE_RANGE, 3, ctypes.c_uint(0xFFFF_FFFF), _CLOEXEC) == 0)


def _around(program: Path) -> tuple[Path, ...]:
    """A program that is not the system's, and the libraries that came with it."""
    found = program.resolve()
    if any(found.is_relative_to(folder) for folder in _SYSTEM):
        return ()
    return (program, found, found.parent.parent / "lib")


def _is_address(source: str | Path) -> bool:
    return isinstance(source, str) and source.startswith(("http://", "https://"))


def _port(address: str) -> int:
    parts = urlsplit(address)
    return parts.port or _PORTS[parts.scheme]


@cache
def _missing() -> tuple[str, ...]:
    """What this machine lacks for a whole cage."""
    tools = ("prlimit", "setpriv") if sys.platform == "linux" else ()
    return (
        *([] if landlock.version() else ["Landlock"]),
        *([] if seccomp.available() else ["seccomp"]),
        *(tool for tool in tools if shutil.which(tool) is None),
    )


@cache
def _warn(missing: tuple[str, ...]) -> None:
    log.warning(
        "THE CAGE OF FFMPEG HAS HOLES: this machine has no %s. A video that takes ffmpeg over could read "
        "what this user can, or reach the network; give the farm Linux 5.13 or newer for users' videos.",
        " and no ".join(missing),
    )
