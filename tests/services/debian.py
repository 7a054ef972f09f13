"""Programs that tests run and pip does not have: from the machine, else from Debian's packages."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TextIO

#: Others of this machine's tests may be installing something too. In it stands why nothing could be.
_LOCK = Path(tempfile.gettempdir()) / "renderfarm-tests-apt.lock"
#: For so long nobody tries again what could not be: a machine without a network would be asked by each test.
_GIVEN_UP = 900.0
_SECONDS = 240
_APT = ("apt-get", "-q", *("-o", "DPkg::Lock::Timeout=120"), *("-o", "Acquire::http::Timeout=20"))
#: Debian starts what it installs; these are to run when a test says so.
_NOT_STARTED = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}


class Unavailable(Exception):
    """This machine cannot run the program; the message says why."""


def program(name: str, *packages: str, recommended: bool = False) -> str:
    """The path of a program. Root installs the packages for it, and, if so, what these recommend.

    Raises ``Unavailable``.
    """
    if found := shutil.which(name):
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"{name} is not installed (Debian: apt install {' '.join(packages)})")
    with _LOCK.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shutil.which(name) is None:
            _install(packages if recommended else ("--no-install-recommends", *packages), lock)
    if found := shutil.which(name):
        return found
    raise Unavailable(f"{' '.join(packages)} brought no {name}")


def _install(packages: tuple[str, ...], lock: TextIO) -> None:
    lock.seek(0)
    why = lock.read()
    if why and time.time() - os.fstat(lock.fileno()).st_mtime < _GIVEN_UP:
        raise Unavailable(why)
    lock.truncate(0)
    for words in (["update"], ["install", "-y", *packages]):
        try:
            done = subprocess.run(
                [*_APT, *words],
                env={**os.environ, **_NOT_STARTED},
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            why = done.stderr[-300:] if done.returncode else ""
        except subprocess.TimeoutExpired:
            why = f"not in {_SECONDS} s"
        if why:
            lock.write(f"{' '.join(packages)} could not be installed: {why}")
            raise Unavailable(f"{' '.join(packages)} could not be installed: {why}")
