"""Signals to the farm's own processes, with work in hand."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

from renderfarm.models import Unit
from renderfarm.trial.case import Case, Fault
from renderfarm.trial.process import Process, alive
from renderfarm.trial.waiting import until

Harm = Callable[[Case, Process], None]
#: Longer than the lease of a trial's farm.
LONG = 4.5


def faults() -> Iterator[Fault]:
    """What can happen to workers, while they analyse and draw, and to dispatchers."""
    harms: tuple[tuple[str, Harm], ...] = (
        ("a worker is told to stop", _told),
        ("a worker and its children get Ctrl-C", _interrupted),
        ("a worker is killed", _killed),
        ("a worker's child is killed", _child_killed),
        ("the process that draws is killed", _drawing_killed),
        ("the process that draws is stopped", _drawing_stopped),
        ("a worker stands still past its lease", _still),
        ("all workers are told to stop", _all_told),
        ("all workers are killed", _all_killed),
    )
    for unit in ("analyse:0", "segment:0"):
        for name, harm in harms:
            quick = {"stall_seconds": 2.0, "setup_seconds": 8.0} if harm is _drawing_stopped else {}
            yield Fault(name=f"{name} in {unit.partition(':')[0]}", act=during(harm, unit), farm=quick)
            if unit == "segment:0" and harm in (_told, _killed, _all_killed):
                options = {"workers": {"v4": 3, "cpu": 1}}
                yield Fault(name=f"{name} in a fast job", act=during(harm, unit, "fast"), farm=options)
    yield Fault(name="a worker's main process alone stands still", act=during(_main_still))
    yield Fault(name="a dispatcher is killed", act=during(_dispatcher_killed))
    yield Fault(name="a dispatcher is told to stop", act=during(_dispatcher_told))
    yield Fault(name="a dispatcher stands still", act=during(_dispatcher_still))
    yield Fault(name="two dispatchers", act=lambda case: _nothing(case, 4), farm={"dispatchers": 2})
    two = {"dispatchers": 2}
    yield Fault(name="one of two dispatchers is killed", act=during(_one_killed), farm=two)
    yield Fault(name="every process is killed at once", act=during(_power_cut))


def during(harm: Harm, unit: str = "segment:0", mode: str = "full_pipeline") -> Callable[[Case], None]:
    """Two jobs, and harm while a unit of the first is worked on."""

    def act(case: Case) -> None:
        [first] = case.submit(1, mode)
        case.submit(1)
        harm(case, case.farm.wait_drawing(first, unit))

    return act


def _nothing(case: Case, number: int) -> None:
    case.submit(number)


def _told(case: Case, worker: Process) -> None:
    begun = time.monotonic()
    worker.stop()
    case.note("handed over", begun)
    worker.start()


def _interrupted(case: Case, worker: Process) -> None:
    os.killpg(worker.pid, signal.SIGINT)
    worker.wait_end()
    worker.start()


def _killed(case: Case, worker: Process) -> None:
    family = worker.family()
    worker.kill()
    until(lambda: not alive(family), 5, "a killed worker's children to die")
    worker.start()


def _child_killed(case: Case, worker: Process) -> None:
    worker.family()[1].kill()


def _drawing_killed(case: Case, worker: Process) -> None:
    worker.family()[2].kill()


def _drawing_stopped(case: Case, worker: Process) -> None:
    for each in worker.family()[2:]:
        each.suspend()


def _still(case: Case, worker: Process) -> None:
    """Goes on while the next attempt is at work."""
    unit_id = _unit_of(case, worker)
    worker.pause()
    until(lambda: _attempt(case, unit_id) > 1, 30, "the next attempt")
    worker.resume()


def _main_still(case: Case, worker: Process) -> None:
    main = worker.family()[0]
    main.suspend()
    time.sleep(LONG)
    main.resume()


def _all_told(case: Case, _: Process) -> None:
    for worker in case.farm.workers:
        worker.terminate()
    for worker in case.farm.workers:
        worker.wait_end()
        worker.start()


def _all_killed(case: Case, _: Process) -> None:
    for worker in case.farm.workers:
        worker.restart()


def _dispatcher_killed(case: Case, _: Process) -> None:
    case.farm.dispatchers[0].kill()
    time.sleep(1)
    case.farm.dispatchers[0].start()


def _dispatcher_told(case: Case, _: Process) -> None:
    case.farm.dispatchers[0].stop()
    case.farm.dispatchers[0].start()


def _dispatcher_still(case: Case, _: Process) -> None:
    case.farm.dispatchers[0].pause()
    time.sleep(LONG)
    case.farm.dispatchers[0].resume()


def _one_killed(case: Case, _: Process) -> None:
    case.farm.dispatchers[0].kill()


def _power_cut(case: Case, _: Process) -> None:
    for process in case.farm.processes:
        process.destroy()
    for process in reversed(case.farm.processes):
        process.start()


def _unit_of(case: Case, worker: Process) -> str:
    with case.farm.database.begin() as session:
        running = session.query(Unit).where(Unit.status == "running").all()
    return next(unit.id for unit in running if f"-{worker.pid}-" in (unit.worker or ""))


def _attempt(case: Case, unit_id: str) -> int:
    with case.farm.database.begin() as session:
        return session.get_one(Unit, unit_id).attempt
