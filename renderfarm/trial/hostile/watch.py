"""What the ingress takes up while it is harmed, and what is left of it and of its children."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from renderfarm.trial.process import Process

_PERIOD = 0.1


class Watch:
    """Looks at a process and its family until it is closed; megabytes."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.before = _megabytes(_own(process))
        #: The most that the ingress's processes had together, and the most that one of their children had.
        self.peak = self.before
        self.child_peak = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def now(self) -> float:
        return _megabytes(_own(self._process))

    def _look(self) -> None:
        while not self._over.wait(_PERIOD):
            own = _own(self._process)
            self.peak = max(self.peak, _megabytes(own))
            children = [each for each in self._process.family() if each not in own]
            self.child_peak = max(self.child_peak, *(_megabytes([child]) for child in children), 0.0)


def left_of(folder: Path) -> list[str]:
    """ffmpeg and ffprobe processes that have to do with the folder; their environment names nobody."""
    found = []
    for each in psutil.process_iter():
        with suppress(psutil.Error):
            if each.name() in ("ffmpeg", "ffprobe") and str(folder) in " ".join(each.cmdline()):
                found.append(f"{each.name()} {each.pid}")
    return found


def _own(process: Process) -> list[psutil.Process]:
    """gunicorn's master and workers."""
    family = process.family()
    return [each for each in family if _is_ours(each)]


def _is_ours(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "python" in process.name() or "gunicorn" in process.name()
    return False


def _megabytes(processes: list[psutil.Process]) -> float:
    total = 0
    for each in processes:
        with suppress(psutil.Error):
            total += each.memory_info().rss
    return round(total / (1 << 20), 1)
