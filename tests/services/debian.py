"""Programs that tests run and pip does not have: from the machine, else from Debian's packages."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

#: Others of this machine's tests may be installing something too.
_LOCK = Path(tempfile.gettempdir()) / "renderfarm-tests-apt.lock"
_SECONDS = 240
#: Debian starts what it installs; these are to run when a test says so.
_NOT_STARTED = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}


class Unavailable(Exception):
    """This machine cannot run the program; the message says why."""


def program(name: str, *packages: str) -> str:
    """The path of a program; root installs the packages for it. Raises ``Unavailable``."""
    if found := shutil.which(name):
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"{name} is not installed (Debian: apt install {' '.join(packages)})")
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shutil.which(name) is None:
            _install(packages)
    if found := shutil.which(name):
        return found
    raise Unavailable(f"{' '.join(packages)} brought no {name}")


def _install(packages: tuple[str, ...]) -> None:
    wait = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
    for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        try:
            done = subprocess.run(
                [*wait, *words],
                env={**os.environ, **_NOT_STARTED},
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{' '.join(packages)} could not be installed in {_SECONDS} s") from error
        if done.returncode != 0:
            raise Unavailable(f"{' '.join(packages)} could not be installed: {done.stderr[-300:]}")
