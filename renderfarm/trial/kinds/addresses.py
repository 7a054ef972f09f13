"""What can happen to a job whose files are fetched from addresses."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

from pipeline.spec import Stage
from renderfarm.crash import Point
from renderfarm.local.ports import free_port
from renderfarm.trial.case import CANCELLED, Case, Fault
from renderfarm.trial.host import Answers, host
from renderfarm.trial.waiting import until

_POINTS = (Point.CLAIMED, Point.STORING, Point.STORED, Point.FINISHED)
_WHO = {"": "a worker's child", "+parent": "a worker"}


def faults() -> Iterator[Fault]:
    """Workers that die while they fetch, hosts that break off, and a job that is cancelled meanwhile."""
    for point in _POINTS:
        for how, who in _WHO.items():
            name = f"{who} dies when {point} in {Stage.FETCH}"
            yield _fault(name, _dying(point, how), point=point, workers={"v4": 1, "cpu": 1})
    yield _fault("a host breaks off in the middle", _breaking_off)
    yield _fault("a job is cancelled while its video is fetched", _cancelled, ends=CANCELLED)
    yield _fault("a worker that fetches is told to stop", _stopping)


def _fault(name: str, act: Callable[[Case], None], **more: object) -> Fault:
    workers = more.pop("workers", {"v4": 1, "cpu": 1, "fetch": 1})
    port = free_port()
    farm = {"workers": workers, "fetch_private": True, "fetch_ports": str(port)}
    return Fault(name=name, act=act, farm=farm, **more)  # type: ignore[arg-type]  # fields of its own


def _dying(point: Point, how: str) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        token = case.token()
        for _ in range(2):
            case.farm.add_worker("fetch", FARM_CRASH_AT=f"{point}/{Stage.FETCH}{how}@{token}")
        case.farm.wait_ready()
        with_host(case, lambda _: True)
        _submit(case)
        case.struck(token)

    return act


def _breaking_off(case: Case) -> None:
    asked = with_host(case, lambda before: before > 0)
    _submit(case)
    until(lambda: asked["/video"] > 1, 60, "the video to be asked for again")


def _cancelled(case: Case) -> None:
    holding = threading.Event()
    asked = with_host(case, lambda _: holding.wait(30))
    job_id = _submit(case)
    until(lambda: asked.total(), 60, "a file to be asked for")
    case.farm.cancel(job_id)
    holding.set()


def _stopping(case: Case) -> None:
    holding = threading.Event()
    asked = with_host(case, lambda _: holding.wait(30))
    _submit(case)
    until(lambda: asked.total(), 60, "a file to be asked for")
    worker = next(each for each in case.farm.workers if case.farm.queue(each) == "fetch")
    worker.terminate()
    holding.set()
    worker.wait_end(30)
    case.farm.add_worker("fetch")


def with_host(case: Case, answers: Answers) -> Counter[str]:
    """A host with the ground's picture and clip until the farm is at rest; how often each was asked for."""
    ground = case.farm.ground
    files = {"/picture": ground.picture, "/video": ground.clip}
    asked: Counter[str] = Counter()
    case.lend(host(int(case.farm.settings.fetch_ports), files, answers, asked))
    return asked


def _submit(case: Case) -> str:
    """A job of two addresses, as the ingress submits it."""
    base = f"http://127.0.0.1:{case.farm.settings.fetch_ports}"
    urls = {"picture": f"{base}/picture", "video": f"{base}/video"}
    job_id = case.farm.submit_rows(inputs={}, urls=urls, video=None, source="", credits=None)
    case.jobs.append(job_id)
    return job_id
