"""One fault, tried on a farm of its own: what is done to it, how its jobs may end, and what was found."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import text

from pipeline.spec import Model, plan_for
from renderfarm.crash import Point
from renderfarm.db import new_id
from renderfarm.errors import FarmError
from renderfarm.trial import checks
from renderfarm.trial.farm import NEXT_ENGINE, QUICK, Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.waiting import InVain, until

T = TypeVar("T")

COMPLETE = frozenset({"complete"})
#: For a fault that harms what a job needs for good: it fails and costs nothing, or finishes all the same.
LOST = frozenset({"complete", "failed"})
CANCELLED = frozenset({"complete", "cancelled"})
#: Words in the logs that tell of a bug, whatever the fault.
_BUGS = ("a bug, or a machine in trouble", "failed; it is tried again", "raised unexpected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A kind of fault: ``act`` submits jobs and does the harm; what is asked afterwards is all the same."""

    name: str
    #: To what it happens, as the module that has it; filled in by ``kinds.every``.
    room: str = ""
    act: Callable[[Case], None]
    #: How its jobs may end.
    ends: frozenset[str] = COMPLETE
    #: ``Farm.open``'s options.
    farm: Mapping[str, Any] = field(default_factory=dict)
    #: The crash point it is about.
    point: Point | None = None
    #: Whether it takes a minute rather than seconds.
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a trial."""

    name: str
    seconds: float
    #: How many jobs ended how.
    ends: Mapping[str, int]
    #: Everything that was not as it must be.
    wrong: tuple[str, ...]
    #: Figures worth knowing, in seconds.
    notes: Mapping[str, float]
    #: The processes' logs, where something was wrong.
    logs: str = ""


class Case:
    """A fault at work on its farm."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.jobs: list[str] = []
        self.notes: dict[str, float] = {}
        #: What it has borrowed until the farm is at rest.
        self.lent = ExitStack()

    def submit(self, number: int = 2, mode: str = "full_pipeline") -> list[str]:
        """New jobs of the case; a fast one as soon as there is room for it."""
        new = [self._submit(mode) for _ in range(number)]
        self.jobs += new
        return new

    def lend(self, thing: AbstractContextManager[T]) -> T:
        """Something that is of use until the farm is at rest."""
        return self.lent.enter_context(thing)

    def token(self) -> Path:
        """A file that somebody will remove when a fault strikes."""
        path = self.farm.folder / new_id("token")
        path.touch()
        return path

    def struck(self, token: Path, seconds: float = 60) -> None:
        """Wait until the fault has struck; what dies meanwhile is started again."""

        def gone() -> bool:
            self.farm.tend()
            return not token.exists()

        until(gone, seconds, "the fault to strike")

    def note(self, what: str, since: float) -> None:
        """Remember how long something took."""
        self.notes[what] = round(time.monotonic() - since, 3)

    def _submit(self, mode: str) -> str:
        def taken() -> str | None:
            try:
                return self.farm.submit(mode=mode)
            except FarmError as error:
                if error.code != "CS-UORC01-001":
                    raise
                return None

        return until(taken, 30, "room for a fast job")


def undisturbed(ground: Ground, engines: Sequence[str] = (QUICK["engine_v4"], NEXT_ENGINE)) -> checks.Truth:
    """What jobs make that nothing happens to: as a case submits them, and as the ingress does.

    Of this version of the farm and of the next one, or of those that have these ``engines``.
    """
    truth: dict[str, Mapping[str, str]] = {}
    for engine in engines:
        with Farm.open(ground, workers={"v4": 1, "cpu": 1}, engine_v4=engine) as farm:
            plan = plan_for(Model.V4, engine=farm.settings.engine_of(Model.V4))
            ids = [farm.submit(), farm.submit(plan=plan)]
            if set(farm.wait_ended(ids, 120).values()) != {"complete"}:
                raise InVain(f"an undisturbed job does not finish: {farm.job(ids[0]).error_message}")
            truth |= {checks.plan_of(farm, job_id): checks.digests(farm, job_id) for job_id in ids}
    return truth


def try_out(ground: Ground, fault: Fault, truth: checks.Truth) -> Finding:
    """Try one fault on a new farm and judge what is left."""
    begun = time.monotonic()
    with Farm.open(ground, **fault.farm) as farm:
        case = Case(farm)
        ends: dict[str, str] = {}
        try:
            fault.act(case)
            ends = farm.wait_ended(case.jobs, 120)
            wrong = [
                f"{job_id} {status}: {farm.job(job_id).error_code} {farm.job(job_id).error_message}"
                for job_id, status in ends.items()
                if status not in fault.ends
            ]
            wrong += checks.end(farm)
            wrong += checks.judge(farm, truth)
        except Exception as error:  # whatever it is, it is a finding, and the next fault has its turn
            wrong = [f"{type(error).__name__}: {error}", *_open_units(farm)]
        finally:
            case.lent.close()
        logs = farm.logs()
        wrong += [f"in the logs: {line}" for line in logs.splitlines() if any(bug in line for bug in _BUGS)][
            :3
        ]
        seconds = round(time.monotonic() - begun, 1)
        kept = logs if wrong else ""
        return Finding(fault.name, seconds, dict(Counter(ends.values())), tuple(wrong), case.notes, kept)


def _open_units(farm: Farm) -> list[str]:
    query = text(
        "SELECT id, status, attempt, worker, failures FROM units WHERE status NOT IN ('done', 'cancelled')"
    )
    try:
        with farm.database.begin() as session:
            return [" ".join(map(str, row)) for row in session.execute(query)]
    except Exception as error:
        return [f"the rows cannot be asked: {error}"]
