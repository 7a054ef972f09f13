"""What a farm holds, every few seconds: memory, files, threads, connections, and what lies about."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from renderfarm.trial.soak.local import LocalFarm

#: What a program's main process is called with what it has started, by how far below it that is. What has no
#: name of its own lives for a moment (ffmpeg, ffprobe) and is left out.
_PARTS: Mapping[str, Sequence[str]] = {
    "worker-fetch": ("", " child"),
    "worker": ("", " child", " drawing"),
    "api": ("", " worker"),
}
_MEGABYTE = 1 << 20

_CONNECTIONS = text(
    """
    SELECT application_name, coalesce(state, 'starting') AS state, count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name <> '' GROUP BY 1, 2
    """
)
_GARBAGE = text("SELECT count(*) FROM garbage WHERE after < now()")


@dataclass(frozen=True, slots=True)
class Seen:
    """One process at one moment."""

    #: ``worker-v4 drawing``, ``api worker``, ``dispatcher``, ...
    name: str
    pid: int
    #: Resident; for PostgreSQL, whose processes share most of theirs, each page is counted once.
    megabytes: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The farm at one moment."""

    #: Seconds since the soak began.
    at: float
    processes: Sequence[Seen]
    #: PostgreSQL's connections by who has them and their state.
    connections: Mapping[tuple[str, str], int]
    #: Everything else that is counted, by its name.
    counts: Mapping[str, float]


class Watch:
    """Looks at one farm."""

    def __init__(self, farm: LocalFarm) -> None:
        self._farm = farm

    def look(self, at: float) -> Sample:
        """The farm as it is now."""
        processes = tuple(_seen(self._farm.programs()))
        with self._farm.database.begin() as session:
            connections = {(row[0], row[1]): int(row[2]) for row in session.execute(_CONNECTIONS)}
            overdue = int(session.scalar(_GARBAGE) or 0)
        clients, memory = self._broker.info("clients"), self._broker.info("memory")
        counts = {
            "redis clients": clients["connected_clients"],
            "redis used_memory, MB": memory["used_memory"] / _MEGABYTE,
            "files of workers": _files(self._farm.settings.work_dir),
            "temporary files": _files(self._farm.temporary),
            "garbage overdue": overdue,
        }
        return Sample(round(at, 1), processes, connections, counts)

    def close(self) -> None:
        """Hang up."""
        self._broker.close()

    @cached_property
    def _broker(self) -> Any:
        import redis

        return redis.Redis.from_url(self._farm.settings.redis_url, socket_timeout=10)


def _seen(programs: Sequence[Mapping[str, Any]]) -> Iterator[Seen]:
    """Every process of these programs that has a name."""
    children: dict[int, list[psutil.Process]] = defaultdict(list)
    for process in psutil.process_iter(["ppid"]):
        children[process.info["ppid"]].append(process)
    for program in programs:
        with suppress(psutil.Error):  # it has just gone, with all of its
            name, main = str(program["name"]), psutil.Process(int(program["pid"]))
            if name == "postgres":
                yield _together(name, main, children[main.pid])
                continue
            generation = [main]
            for part in next((parts for begin, parts in _PARTS.items() if name.startswith(begin)), ("",)):
                for process in generation:
                    with suppress(psutil.Error):
                        yield _one(f"{name}{part}", process)
                generation = [child for process in generation for child in children[process.pid]]


def _one(name: str, process: psutil.Process) -> Seen:
    with process.oneshot():
        resident = process.memory_info().rss / _MEGABYTE
        return Seen(name, process.pid, round(resident, 2), process.num_fds(), process.num_threads())


def _together(name: str, main: psutil.Process, others: Sequence[psutil.Process]) -> Seen:
    megabytes, files, threads = 0.0, 0, 0
    for process in (main, *others):
        with suppress(psutil.Error):
            full = process.memory_full_info()
            megabytes += getattr(full, "pss", full.rss) / _MEGABYTE
            files += process.num_fds()
            threads += process.num_threads()
    return Seen(name, main.pid, round(megabytes, 2), files, threads)


def _files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))  # which minds no folder that goes meanwhile
