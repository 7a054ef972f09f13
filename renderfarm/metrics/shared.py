"""What several processes of one service count together, each in files of its own in one folder.

That is the client's multiprocess mode: it is on where ``PROMETHEUS_MULTIPROC_DIR`` was set before the
client was first imported.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

#: What counts on when its process has ended. Files are named ``{kind}_{pid}.db``.
_LASTING = ("counter", "histogram")
#: In the place of a pid: what all processes that have ended had counted.
_ENDED = "ended"


class SharedFolder(Collector):
    """Adds up what the processes of a folder count, and what those did that have ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the files."""
        return ()

    def collect(self) -> Iterator[Metric]:
        with self._locked(fcntl.LOCK_SH):
            yield from list(MultiProcessCollector(None, str(self._path)).collect())  # type: ignore[no-untyped-call]

    def pids(self) -> set[int]:
        """Whoever counts, or had counted, and was not folded."""
        files = [path for kind in _LASTING for path in self._path.glob(f"{kind}_*.db")]
        return {int(name) for name in {path.stem.rpartition("_")[2] for path in files} - {_ENDED}}

    def fold(self, ended: Iterable[int]) -> bool:
        """Add what these processes had counted to one file, so that the folder does not grow with them.

        False, to be tried again, while somebody reads (who saw a number twice, and then once, would take
        that for a counter that began anew), and where there is no room.
        """
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                for pid in ended:
                    self._fold(pid)
        except OSError:
            return False
        return True

    def _fold(self, pid: int) -> None:
        mark_process_dead(pid, str(self._path))  # type: ignore[no-untyped-call]
        for kind in _LASTING:
            left, total = self._path / f"{kind}_{pid}.db", self._path / f"{kind}_{_ENDED}.db"
            if not left.exists():
                continue
            with total.open("ab") as file:
                # A full disk says so here; in the middle of a write to its mapped file it would end us.
                file.write(bytes(max(0, _used(total) + _used(left) - file.tell())))
            _add(left, total)
            left.unlink()

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        lock = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, how)
            yield
        finally:
            os.close(lock)


def _used(path: Path) -> int:
    """How much of a file of counters is in use."""
    with path.open("rb") as file:
        return max(8, int.from_bytes(file.read(4), sys.byteorder))


def _add(left: Path, total: Path) -> None:
    sums = MmapedDict(str(total))  # type: ignore[no-untyped-call]
    # One that was killed as it made the file had counted nothing; what a full disk spoilt nobody can read.
    with suppress(struct.error, ValueError, RuntimeError):
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(left)):  # type: ignore[no-untyped-call]
            before, _ = sums.read_value(key)  # type: ignore[no-untyped-call]
            sums.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
    sums.close()  # type: ignore[no-untyped-call]
