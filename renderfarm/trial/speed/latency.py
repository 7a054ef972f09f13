"""How soon work begins on a farm that idles, and what a unit costs beside its work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles

from sqlalchemy import select

from pipeline.spec import PERCEPTION_VERSION, PLAN_VERSION, Model, Stage
from pipeline.units import items_of
from renderfarm import dispatch, jobs, leases, pools, stages
from renderfarm.claims import Claim, WorkerIdentity
from renderfarm.models import Unit
from renderfarm.storage import StoredFile
from renderfarm.trial.clip import make_clip
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.speed.figure import Figure, Measured
from renderfarm.trial.speed.run import render, steady

JOBS, QUICK_JOBS = 300, 40
#: Milliseconds from the submission's commit to the first unit's start; and of bookkeeping for a unit.
_P50, _P99, _BOOKS = (50.0, 20.0), (250.0, 100.0), (15.0, 10.0)


def latency(ground: Ground, quick: bool, tell: Callable[[str], None]) -> Measured:
    """Tiny jobs, one after another, on a farm of two workers that has nothing else to do."""
    count = QUICK_JOBS if quick else JOBS
    clip = make_clip(ground.folder / "tiny.mp4", frames=15, size="128x96")
    with Farm.open(ground, **steady("fixed:ms=0")) as farm:
        for _ in range(3):
            render(farm, clip)
        waits = []
        for number in range(count):
            waits.append(1000 * render(farm, clip).first)
            if number % 50 == 49:
                tell(f"{number + 1} jobs: p50 {median(waits):.1f} ms")
    with Farm.open(ground, workers={}, dispatchers=0, **steady("fixed:ms=0")) as farm:
        books = [1000 * _books(farm) for _ in range(20 if quick else 100)]
    centiles = quantiles(waits, n=100)
    figures = (
        Figure("submit to first unit, p50", median(waits), "ms", *_P50),
        Figure("submit to first unit, p99", centiles[98], "ms", *_P99),
        Figure("bookkeeping of a unit of one item, p50", median(books), "ms", *_BOOKS),
    )
    details = {"jobs": count, "waits_ms": sorted(round(wait, 2) for wait in waits)}
    return Measured(figures, details | {"books_ms": sorted(round(each, 2) for each in books)})


class _Watch:
    """Adds up what its blocks take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begun


def _books(farm: Farm) -> float:
    """Seconds that a worker's transactions for a unit take: claim, one item, finish, commits and all.

    They are done here as the worker does them, on the trial's own database, without its drawing.
    """
    job_id = farm.submit()
    worker = _worker(farm)
    with farm.database.begin() as session:
        pools.report_worker(session, worker, None)
        dispatch.admit(session, farm.settings)
        [unit_id] = session.scalars(select(Unit.id).where(Unit.job_id == job_id, Unit.stage == Stage.ANALYSE))
    watch = _Watch()
    with watch.running(), farm.database.begin() as session:
        claim = leases.claim(session, farm.settings, unit_id, worker)
    assert claim is not None, "nobody else is there to take it"
    for place, span in enumerate(claim.spans):
        files = [_stored(claim, name) for name in items_of(claim.stage, claim.spec, span)]
        watched = watch if place == 0 else _Watch()
        with watched.running(), farm.database.begin() as session:
            leases.add_item(session, claim, files)
    with watch.running(), farm.database.begin() as session:
        jobs.finish(session, farm.settings, claim, [], {})
    farm.cancel(job_id)
    return watch.seconds


def _stored(claim: Claim, name: str) -> StoredFile:
    return StoredFile(name, f"{claim.folder}{name}", 1, "0" * 64)


def _worker(farm: Farm) -> WorkerIdentity:
    engine = str(farm.settings.engine_of(Model.V4))
    versions = {"engines": [engine], "perception": PERCEPTION_VERSION, "plan": PLAN_VERSION}
    return WorkerIdentity("trial", stages.QUEUES[Model.V4], versions)
