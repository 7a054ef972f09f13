"""SIGKILL at each crash point, in each stage that passes it, of the child alone and of the whole process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.spec import RENDER, Model, Stage
from pipeline.units import BY_SPANS
from renderfarm.client import ClientError
from renderfarm.crash import Point
from renderfarm.models import Job
from renderfarm.stages import queue_of
from renderfarm.trial import checks
from renderfarm.trial.case import Case, Fault
from renderfarm.trial.process import alive
from renderfarm.trial.waiting import until

_BY_SPANS = tuple(stage for stage in RENDER if stage in BY_SPANS)
#: Where workers pass each of their points.
_WORKER: dict[Point, tuple[Stage, ...]] = {
    Point.CLAIMED: RENDER,
    Point.DRAWN: (Stage.ANALYSE, Stage.SEGMENT),
    Point.ITEM_STORED: _BY_SPANS,
    Point.ITEM_RECORDED: _BY_SPANS,
    Point.STORING: RENDER,
    Point.STORED: RENDER,
    Point.FINISHED: RENDER,
}
_WHO = {"": "a worker's child", "+parent": "a worker"}


def faults() -> Iterator[Fault]:
    """One for each point, stage and victim; fast jobs too, where their units are others."""
    for point, passed in _WORKER.items():
        for stage in passed:
            for how, who in _WHO.items():
                yield _of_worker(f"{who} dies when {point} in {stage}", point, stage, how, "full_pipeline")
            if stage in _BY_SPANS:
                name = f"a worker dies when {point} in {stage} of a fast job"
                yield _of_worker(name, point, stage, "+parent", "fast")
    for point, act in (
        (Point.ADMITTED, _early),
        (Point.PUBLISHED, _early),
        (Point.TAKEN_BACK, _after_a_worker),
        (Point.DELETED, _at_garbage),
    ):
        options = {"dispatchers": 0}
        yield Fault(name=f"a dispatcher dies when {point}", act=act(point), farm=options, point=point)
    for point in (Point.UPLOADED, Point.SUBMITTED):
        for how, who in (("", "a process of the ingress"), ("+parent", "the ingress")):
            yield Fault(name=f"{who} dies when {point}", act=_of_api(point, how), point=point)


def _of_worker(name: str, point: Point, stage: Stage, how: str, mode: str) -> Fault:
    queue = queue_of(stage, Model.V4)
    other, number = ("cpu", 1) if queue == "v4" else ("v4", 1)

    def act(case: Case) -> None:
        token = case.token()
        for _ in range(3 if mode == "fast" else 2):
            case.farm.add_worker(queue, FARM_CRASH_AT=f"{point}/{stage}{how}@{token}")
        case.farm.wait_ready()
        case.submit(1, mode)
        case.submit(1)
        case.struck(token)

    return Fault(name=name, act=act, farm={"workers": {other: number}}, point=point)


def _early(point: Point) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        token = case.token()
        case.submit()
        case.farm.add_dispatcher(FARM_CRASH_AT=f"{point}@{token}")
        case.struck(token)

    return act


def _after_a_worker(point: Point) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        token = case.token()
        case.farm.add_dispatcher(FARM_CRASH_AT=f"{point}@{token}")
        [first, *_] = case.submit()
        case.farm.wait_drawing(first).restart()
        case.struck(token)

    return act


def _at_garbage(point: Point) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        token = case.token()
        case.farm.add_dispatcher(FARM_CRASH_AT=f"{point}@{token}")
        case.farm.wait_ended(case.submit(), 120)
        checks.collect_garbage(case.farm)
        case.struck(token)

    return act


def _of_api(point: Point, how: str) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        token = case.token()
        api = case.farm.add_api(FARM_CRASH_AT=f"{point}{how}@{token}")
        api.wait_ready()
        family, ground = api.family(), case.farm.ground
        try:
            answer = case.farm.client.submit(ground.picture, ground.clip, {})
        except ClientError:
            pass  # nobody can tell the client whether its job was taken
        else:
            raise AssertionError(f"the ingress lived to answer {answer}")
        if how:  # its processes keep the port until they notice
            until(lambda: not alive(family), 30, "the ingress to die")
        case.struck(token)
        case.farm.wait_ready()
        case.farm.client.submit(ground.picture, ground.clip, {})
        with case.farm.database.begin() as session:
            case.jobs = [job.id for job in session.query(Job)]
        assert len(case.jobs) == (2 if point is Point.SUBMITTED else 1)

    return act
