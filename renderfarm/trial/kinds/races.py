"""Attempts that stand still at an exact place and go on too late; cancels; clocks that jump."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import psutil

from pipeline.spec import Model, Stage
from renderfarm.crash import Point
from renderfarm.errors import FarmError
from renderfarm.models import Unit
from renderfarm.stages import queue_of
from renderfarm.trial.case import CANCELLED, COMPLETE, Case, Fault
from renderfarm.trial.process import Process
from renderfarm.trial.waiting import until

_PLACES = (
    (Point.CLAIMED, Stage.SEGMENT),
    (Point.DRAWN, Stage.ANALYSE),
    (Point.DRAWN, Stage.SEGMENT),
    (Point.ITEM_STORED, Stage.ANALYSE),
    (Point.ITEM_STORED, Stage.SEGMENT),
    (Point.ITEM_RECORDED, Stage.SEGMENT),
    (Point.STORED, Stage.PLATE),
    (Point.STORING, Stage.STITCH),
    (Point.STORED, Stage.STITCH),
    (Point.FINISHED, Stage.SEGMENT),
    (Point.FINISHED, Stage.STITCH),
)
_CANCELS = (
    (Point.CLAIMED, Stage.ANALYSE),
    (Point.ITEM_STORED, Stage.SEGMENT),
    (Point.STORED, Stage.SEGMENT),
    (Point.STORED, Stage.STITCH),
    (Point.FINISHED, Stage.STITCH),
)
#: Seconds within which work stops once its job is cancelled.
CANCEL_SECONDS = 2.0
#: Put before all else on the path of a process: its own clock says whatever it likes, and monotonic does not.
_JUMPS = """
import time
_real = time.time
time.time = lambda: _real() + (86400.0, -86400.0, 0.0)[int(time.monotonic()) % 3]
"""


def faults() -> Iterator[Fault]:
    """Late attempts at each place, cancels at each place, and the rest of what only time tells."""
    for point, stage in _PLACES:
        name = f"a worker stands still when {point} in {stage}, and goes on beside the next attempt"
        yield _stopped(name, point, stage, _outlived)
    for point, stage in _CANCELS:
        name = f"a job is cancelled when {point} in {stage}"
        yield _stopped(name, point, stage, _cancelled(point, stage), CANCELLED)
    yield Fault(name="a job is cancelled while it waits", act=_cancel_at_once, ends=CANCELLED)
    yield Fault(name="a job is cancelled while it is drawn", act=_cancel_drawn, ends=CANCELLED)
    yield Fault(name="the clocks of all processes jump", act=_jumping, farm={"workers": {}, "dispatchers": 0})


def _stopped(
    name: str,
    point: Point,
    stage: Stage,
    meanwhile: Callable[[Case, psutil.Process], None],
    ends: frozenset[str] = COMPLETE,
) -> Fault:
    """A worker's child stands still exactly there, until ``meanwhile`` has had it go on."""
    queue = queue_of(stage, Model.V4)
    other = "cpu" if queue == "v4" else "v4"

    def act(case: Case) -> None:
        token = case.token()
        for _ in range(2):
            case.farm.add_worker(queue, FARM_CRASH_AT=f"{point}/{stage}+stop@{token}")
        case.farm.wait_ready()
        case.submit()
        case.struck(token)
        meanwhile(case, until(lambda: _standing(case.farm.workers), 10, "a child to stand still"))

    return Fault(name=name, act=act, ends=ends, farm={"workers": {other: 1}}, point=point)


def _standing(workers: Sequence[Process]) -> psutil.Process | None:
    for worker in workers:
        for each in worker.family():
            with suppress(psutil.NoSuchProcess):
                if each.status() == psutil.STATUS_STOPPED:
                    return each
    return None


def _outlived(case: Case, child: psutil.Process) -> None:
    """Go on once the unit has a second attempt, or is done without one."""

    def gone_on() -> bool:
        with case.farm.database.begin() as session:
            units = session.query(Unit).where(Unit.job_id.in_(case.jobs))
            late = {unit.id for unit in units if unit.attempt > 1}
        return bool(late) or "complete" in case.farm.statuses(case.jobs).values()

    until(gone_on, 30, "the next attempt")
    child.resume()


def _cancelled(point: Point, stage: Stage) -> Callable[[Case, psutil.Process], None]:
    def meanwhile(case: Case, child: psutil.Process) -> None:
        with case.farm.database.begin() as session:
            done = point is Point.FINISHED
            status = "done" if done else "running"
            unit = session.query(Unit).where(Unit.stage == stage, Unit.status == status).first()
            assert unit is not None
            job_id = unit.job_id
        try:
            case.farm.cancel(job_id)
        except FarmError as error:
            assert done and error.code == "CS-UORC01-112", error
        else:
            assert not done, "a finished job was cancelled"
        child.resume()

    return meanwhile


def _cancel_at_once(case: Case) -> None:
    first, *_ = case.submit(3)
    case.farm.cancel(first)


def _cancel_drawn(case: Case) -> None:
    """The worker stops within its limit, and its next unit may start."""
    [first, _] = case.submit()
    worker = case.farm.wait_drawing(first)
    drawing = worker.family()[2:]
    begun = time.monotonic()
    case.farm.cancel(first)
    until(lambda: not any(each.is_running() for each in drawing), 10, "the drawing to stop")
    case.note("cancel to stop", begun)
    assert case.notes["cancel to stop"] <= CANCEL_SECONDS, "a cancelled job was drawn for too long"


def _jumping(case: Case) -> None:
    (clock := case.farm.folder / "clock").mkdir()
    (clock / "sitecustomize.py").write_text(_JUMPS)
    path = f"{clock}:{case.farm.ground.environ(clock)['PYTHONPATH']}"
    case.farm.add_dispatcher(PYTHONPATH=path)
    for queue in ("v4", "v4", "cpu"):
        case.farm.add_worker(queue, PYTHONPATH=path)
    case.farm.wait_ready()
    case.submit()
