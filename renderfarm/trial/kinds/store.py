"""What can happen to the store and to the disks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from renderfarm.models import Artifact
from renderfarm.trial.case import LOST, Case, Fault
from renderfarm.trial.kinds.processes import during
from renderfarm.trial.process import Process
from renderfarm.trial.waiting import until

#: No file of a worker may grow beyond so many bytes while its disk is full.
_FULL_BYTES = 4096


def faults() -> Iterator[Fault]:
    """A store that is away, disks that are full, and stored bytes that changed or are gone."""
    yield Fault(name="the store is away while analysing", act=during(_away(3), "analyse:0"))
    yield Fault(name="the store is away while drawing", act=during(_away(3)))
    yield Fault(name="the store is away when jobs come", act=_away_at_first)
    yield Fault(name="the store is away for a minute", act=during(_away(60)), slow=True)
    yield Fault(name="the disk of a worker is full for a while", act=during(_full))
    for artifact, unit in (
        ("piece-0000", "analyse:0"),
        ("tracks", "segment:0"),
        ("plate", "segment:0"),
        ("character", "segment:0"),
        ("segment-0000", "segment:0"),
    ):
        yield Fault(name=f"{artifact} is damaged", act=_artifact(artifact, unit, _damage), ends=LOST)
    yield Fault(
        name="segment-0000 is gone", act=_artifact("segment-0000", "segment:0", Path.unlink), ends=LOST
    )
    yield Fault(name="the driving video is gone", act=_input("video"), ends=LOST)
    yield Fault(name="the picture is gone", act=_input("picture"), ends=LOST)


def _root(case: Case) -> Path:
    return Path(urlsplit(case.farm.settings.storage_url).path)


def _away(seconds: float) -> Callable[[Case, Process], None]:
    """As a mount that broke: there is no folder where the store was."""

    def harm(case: Case, _: object = None) -> None:
        root = _root(case)
        elsewhere = root.rename(root.with_name("elsewhere"))
        root.touch()
        time.sleep(seconds)
        root.unlink()
        elsewhere.rename(root)

    return harm


def _away_at_first(case: Case) -> None:
    case.farm.dispatchers[0].kill()
    case.submit()
    case.farm.dispatchers[0].start()
    _away(3)(case, case.farm.dispatchers[0])


def _full(case: Case, worker: Process) -> None:
    """Writing fails for the worker and all that it starts."""
    try:
        _limit(worker.family(), _FULL_BYTES)
        time.sleep(3)
    finally:
        _limit(worker.family(), psutil.RLIM_INFINITY)


def _limit(family: list[psutil.Process], size: int) -> None:
    for each in family:
        try:
            each.rlimit(psutil.RLIMIT_FSIZE, (size, psutil.RLIM_INFINITY))
        except psutil.NoSuchProcess:
            continue


def _artifact(name: str, unit: str, harm: Callable[[Path], None]) -> Callable[[Case], None]:
    """Harm a stored artifact as soon as it is there, with the worker killed that has read it already."""

    def act(case: Case) -> None:
        [first, _] = case.submit()
        worker = case.farm.wait_drawing(first, unit)

        def stored() -> str | None:
            with case.farm.database.begin() as session:
                row = session.get(Artifact, (first, name))
                return row.key if row else None

        harm(_root(case) / until(stored, 30, name))
        worker.restart()

    return act


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _input(name: str) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        case.farm.dispatchers[0].kill()
        [first, _] = case.submit()
        (_root(case) / case.farm.job(first).inputs[name]).unlink()
        case.farm.dispatchers[0].start()

    return act
