"""A worker's own folder under ``work_dir``: scratch space, counters, and its pulse.

A lock on it tells the living from the dead, however they died: whoever starts next removes what the
dead left. The lock belongs to the main process and its children, and ends with the last of them.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK, _PULSE = "lock", "pulse"


class WorkerFolder:
    """Made by ``open``; ``close`` removes it."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, work_dir: Path, queue: str) -> WorkerFolder:
        """A new folder for this process; the folders of dead workers are removed first."""
        work_dir = work_dir.resolve()
        work_dir.mkdir(parents=True, exist_ok=True)
        with _locked(work_dir / ".lock"):  # nobody takes a folder for dead before it is locked
            _sweep(work_dir)
            path = work_dir / f"{queue}-{os.getpid()}-{secrets.token_hex(3)}"
            path.mkdir()
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT)
            fcntl.flock(lock, fcntl.LOCK_EX)
        (path / "metrics").mkdir()
        return cls(path, lock)

    @property
    def name(self) -> str:
        """Unique among the workers of this machine."""
        return self.path.name

    @property
    def metrics(self) -> Path:
        """Where the processes of this worker keep their counters."""
        return self.path / "metrics"

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """An empty folder, removed with everything in it at the end of the block."""
        path = self.path / name
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def clear(self) -> None:
        """Remove what units left: for the child that follows one which was killed."""
        for left in self.path.iterdir():
            if left.is_dir() and left != self.metrics:
                shutil.rmtree(left, ignore_errors=True)

    def pulse(self) -> None:
        """Say that this worker lives and consumes."""
        (self.path / _PULSE).touch()

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def pulses(work_dir: Path, queue: str | None = None) -> list[float]:
    """The ages of the last pulses, in seconds, of the living workers of a queue, or all, on this machine."""
    ages = []
    for path in _folders(work_dir):
        if path.name.startswith(f"{queue}-" if queue else "") and not _is_dead(path):
            with suppress(FileNotFoundError):
                ages.append(time.time() - (path / _PULSE).stat().st_mtime)
    return sorted(ages)


def _folders(work_dir: Path) -> list[Path]:
    if not work_dir.is_dir():
        return []
    return [path for path in work_dir.iterdir() if (path / _LOCK).exists()]


def _sweep(work_dir: Path) -> None:
    for path in _folders(work_dir):
        if _is_dead(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_dead(path: Path) -> bool:
    try:
        lock = os.open(path / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False  # it has just gone
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
