"""Faults at random from a seed, several in a row, on a farm with many jobs of both modes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from pipeline.spec import RENDER
from renderfarm.crash import Point
from renderfarm.errors import FarmError
from renderfarm.models import FINAL
from renderfarm.trial.case import Case, Fault
from renderfarm.trial.process import Process

#: How many disturbances there are for each job.
_PER_JOB = 0.8
#: The most that somebody stands still: some outlive their lease, some do not.
_STILL_SECONDS = 4.5
_POINTS = (Point.CLAIMED, Point.DRAWN, Point.ITEM_STORED, Point.ITEM_RECORDED, Point.STORED, Point.FINISHED)


def mixture(seed: int, jobs: int) -> Fault:
    """A mixture: the seed says what happens to whom and when; who works on what is the farm's affair."""

    def act(case: Case) -> None:
        dice = random.Random(seed)
        modes = [dice.choice(("full_pipeline", "full_pipeline", "fast")) for _ in range(jobs)]
        early, late = modes[: jobs // 2], modes[jobs // 2 :]
        for mode in early:
            _submit(case, mode)
        for number in range(max(1, round(jobs * _PER_JOB))):
            dice.choice(_DISTURBANCES)(case, dice)
            time.sleep(dice.uniform(0.2, 1.5))
            case.farm.tend()
            while late and number * 2 >= jobs - len(late):
                _submit(case, late.pop())
        for mode in late:
            _submit(case, mode)

    ends = frozenset(FINAL)
    options = {"workers": {"v4": 3, "cpu": 2}, "dispatchers": 2, "account_running_cap": 8}
    return Fault(name=f"a mixture of {jobs} jobs from seed {seed}", act=act, ends=ends, farm=options)


def _submit(case: Case, mode: str) -> None:
    """As a fast job if there is room for one; a client that is refused sends a normal one."""
    try:
        case.jobs.append(case.farm.submit(mode=mode))
    except FarmError as error:
        if error.code != "CS-UORC01-001":
            raise
        case.jobs.append(case.farm.submit())


def _worker(case: Case, dice: random.Random) -> Process:
    return dice.choice(case.farm.workers)


def _kill_worker(case: Case, dice: random.Random) -> None:
    _worker(case, dice).restart()


def _kill_child(case: Case, dice: random.Random) -> None:
    family = _worker(case, dice).family()
    if len(family) > 1:
        dice.choice(family[1:]).kill()


def _tell_worker(case: Case, dice: random.Random) -> None:
    worker = _worker(case, dice)
    if worker.alive:
        worker.stop()
    worker.start()


def _still_worker(case: Case, dice: random.Random) -> None:
    worker = _worker(case, dice)
    worker.pause()
    time.sleep(dice.uniform(0.5, _STILL_SECONDS))
    worker.resume()


def _crash_worker(case: Case, dice: random.Random) -> None:
    """It is started anew to die at some point of some stage."""
    how = dice.choice(("", "+parent"))
    armed = f"{dice.choice(_POINTS)}/{dice.choice(RENDER)}:{dice.randint(1, 3)}{how}@{case.token()}"
    _worker(case, dice).restart(FARM_CRASH_AT=armed)


def _kill_dispatcher(case: Case, dice: random.Random) -> None:
    dice.choice(case.farm.dispatchers).restart()


def _crash_dispatcher(case: Case, dice: random.Random) -> None:
    point = dice.choice((Point.ADMITTED, Point.PUBLISHED, Point.TAKEN_BACK))
    dice.choice(case.farm.dispatchers).restart(FARM_CRASH_AT=f"{point}@{case.token()}")


def _kill_broker(case: Case, dice: random.Random) -> None:
    case.farm.redis.restart()


def _flush_broker(case: Case, dice: random.Random) -> None:
    case.farm.redis.wait_ready()
    with case.farm.broker() as broker:
        broker.flushall()


def _restart_postgres(case: Case, dice: random.Random) -> None:
    postgres = case.farm.ground.postgres
    postgres.stop()
    time.sleep(dice.uniform(0, 1))
    postgres.start()
    postgres.wait_ready()


def _cancel(case: Case, dice: random.Random) -> None:
    try:
        case.farm.cancel(dice.choice(case.jobs))
    except FarmError as error:
        assert error.code == "CS-UORC01-112", error  # it had ended


_DISTURBANCES: tuple[Callable[[Case, random.Random], None], ...] = (
    *(_kill_worker, _kill_child, _tell_worker, _still_worker, _crash_worker, _crash_worker),
    *(_kill_dispatcher, _crash_dispatcher, _kill_broker, _flush_broker, _restart_postgres, _cancel, _cancel),
)
