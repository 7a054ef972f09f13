"""A rolling upgrade: workers of two versions side by side, with fast and normal jobs in flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipeline.spec import Model, plan_for
from renderfarm.trial.case import Case, Fault
from renderfarm.trial.farm import NEXT_ENGINE
from renderfarm.trial.process import Process

#: What tells a process that it is of the next version.
_NEXT = {"ENGINE_V4": NEXT_ENGINE}


def faults() -> Iterator[Fault]:
    """Workers are replaced one by one, or all at once; the dispatcher before them, or after."""
    farm = {"workers": {"v4": 3, "cpu": 1}, "replan_seconds": 2.0}
    yield Fault(name="workers are replaced one by one", act=_one_by_one, farm=farm)
    yield Fault(name="all workers are replaced at once", act=_at_once, farm=farm)
    yield Fault(name="workers are replaced and go back", act=_there_and_back, farm=farm)


def _one_by_one(case: Case) -> None:
    old = _at_work(case)
    for worker in old:
        case.farm.add_worker("v4", **_NEXT)
        _submit_next(case)
        worker.stop()
    _replace_dispatcher(case)


def _at_once(case: Case) -> None:
    old = _at_work(case)
    _replace_dispatcher(case)
    for worker in old:
        worker.terminate()
    for worker in old:
        worker.wait_end()
        case.farm.add_worker("v4", **_NEXT)
    _submit_next(case)


def _there_and_back(case: Case) -> None:
    """The upgrade was a mistake: what was begun by either version ends by one of them."""
    old = _at_work(case)
    new = [case.farm.add_worker("v4", **_NEXT) for _ in old]
    _submit_next(case)
    for worker in old:
        worker.stop()
    for worker in old:
        worker.start()
    for worker in new:
        worker.stop()


def _at_work(case: Case) -> list[Process]:
    """Fast and normal jobs of the old version, being drawn; its workers."""
    case.submit(1, "fast")
    [first] = case.submit(1)
    case.submit(1)
    case.farm.wait_drawing(first, "analyse:0")
    return [worker for worker in case.farm.workers if case.farm.queue(worker) == "v4"]


def _submit_next(case: Case) -> None:
    """A job that the next version of the ingress takes."""
    engine = replace(case.farm.settings, engine_v4=NEXT_ENGINE).engine_of(Model.V4)
    case.jobs.append(case.farm.submit(plan=plan_for(Model.V4, engine=engine)))


def _replace_dispatcher(case: Case) -> None:
    old = case.farm.dispatchers[0]
    case.farm.add_dispatcher(**_NEXT)
    old.stop()
