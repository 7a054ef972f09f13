"""``farm bench capacity``: the model of the farm beside a real one that is sent the same orders.

What things cost is measured first, on jobs that have the farm for themselves; nothing is fitted to the
result. The engine takes a fixed time a frame and no processor, so that few cores can be many workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from statistics import fmean, median

import numpy as np
from sqlalchemy import func, select

from pipeline.spec import RENDER, Model, RenderSpec, Span, Stage, VideoInfo, plan_for
from pipeline.units import spans_of
from renderfarm import accounts, credits, prices, stages
from renderfarm.db import new_id
from renderfarm.errors import FarmError
from renderfarm.models import Job, Unit
from renderfarm.simulate.demand import Order, orders
from renderfarm.simulate.farm import simulate
from renderfarm.simulate.outcome import percentile
from renderfarm.simulate.scenario import Scenario, scenario_of
from renderfarm.trial.clip import make_clip
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.speed.figure import Figure, Measured
from renderfarm.trial.speed.run import render, steady

WORKERS: Mapping[str, int] = {"v3": 2, "v4": 3, "cpu": 1}
#: Milliseconds a frame of each model, and in a sample.
MS: Mapping[Model, int] = {Model.V3: 200, Model.V4: 250}
QUICK_MS = 20
#: Frames of the clips: an order has the one that is nearest to its length.
CLIPS = (30, 60, 90, 120, 180)
#: Those by which costs are measured: one piece and one segment; two segments; two pieces and four segments.
_ALONE = (15, 90, 240)
_RATE = 30
#: Percent by which the model may be off, and should not be.
_MUST, _GOAL = 15.0, 10.0
#: Two bursts, a quiet time before and after each.
_PROFILE = (0.3, 2.0, 2.0, 0.4, 0.2, 2.0, 0.6, 0.2)
#: Of the time that its pool needs for them all, the part in which the jobs come.
_CROWDED = 0.75
#: The median length of the jobs, in frames.
_MEDIAN = 75


@dataclass(frozen=True, slots=True)
class Course:
    """How a farm fared, a real one or the model: seconds, and shares of its workers' time."""

    #: From each job's submission to its first unit's beginning, and to its end.
    waits: Sequence[float]
    wholes: Sequence[float]
    #: From the first submission to the last end.
    makespan: float
    busy: Mapping[str, float]
    refused: int

    def numbers(self) -> dict[str, float]:
        """What is compared."""
        return {
            "mean wait": fmean(self.waits),
            "p95 completion": percentile(self.wholes, 95),
            "makespan": self.makespan,
            **{f"{queue} busy": 100 * self.busy[queue] for queue in stages.QUEUES.values()},
        }


def capacity(
    ground: Ground, *, jobs: int, runs: int, seed: int, quick: bool, tell: Callable[[str], None]
) -> Measured:
    """How far the model is off, of the median of so many ``runs`` of the same ``jobs`` on a real farm.

    Quick: frames take next to no time, so that all else weighs most; it shows whether it works, not how well.
    """
    ms = dict.fromkeys(Model, QUICK_MS) if quick else MS
    clips = {
        frames: make_clip(ground.folder / f"{frames}.mp4", frames=frames, size="128x96", rate=_RATE)
        for frames in {*CLIPS, *_ALONE}
    }
    engines = {f"engine_{queue}": f"fixed:ms={ms[model]}" for model, queue in stages.QUEUES.items()}
    with Farm.open(ground, workers=WORKERS, **{**steady("fixed:ms=0"), **engines}) as farm:
        alone = _alone(farm, clips, 1 if quick else 3)
        scenario = _scenario(farm, alone, ms, jobs, seed)
        sent = [_cut(farm, clips, order) for order in orders(scenario.demand, seed)]
        theirs = _of_model(scenario, sent)
        tell(f"the model: {_told(theirs)}")
        ours = []
        for number in range(runs):
            ours.append(_of_farm(farm, clips, sent))
            tell(f"farm, run {number + 1} of {runs}: {_told(ours[-1])}")
    return _compared(theirs, ours, scenario)


def _alone(farm: Farm, clips: Mapping[int, Path], rounds: int) -> list[dict[str, Unit]]:
    """The units, by stage, of V3 jobs that had the farm for themselves; its workers have drawn before."""
    for model, queue in stages.QUEUES.items():
        for _ in range(WORKERS[queue]):
            render(farm, clips[_ALONE[0]], model=model)
    runs = [render(farm, clips[frames], model=Model.V3) for _ in range(rounds) for frames in _ALONE]
    return [{unit.stage: unit for unit in farm.units(run.job_id).values()} for run in runs]


def _scenario(
    farm: Farm, alone: Sequence[Mapping[str, Unit]], ms: Mapping[Model, int], jobs: int, seed: int
) -> Scenario:
    """What was measured, the farm's own settings, and the demand."""
    beside = {stage: _cost(stage, alone, ms[Model.V3] / 1000) for stage in RENDER}
    costs = {
        queue: {**beside, Stage.SEGMENT: {**beside[Stage.SEGMENT], "frame": ms[model] / 1000}}
        for model, queue in stages.QUEUES.items()
    }
    units = [unit for job in alone for unit in job.values()]
    delays = {
        "admission": median(_seconds(unit.created_at, unit.admitted_at) for unit in units),
        "delivery": median(_seconds(unit.admitted_at, unit.started_at) for unit in units),
    }
    # As much as keeps the pools busy for most of the time.
    own = sum(
        median(_seconds(job[stage].started_at, job[stage].finished_at) for job in alone)
        for stage in RENDER
        if stage is not Stage.SEGMENT
    )
    hours = _CROWDED * jobs * (own + _MEDIAN * ms[Model.V4] / 1000) / sum(WORKERS.values()) / 3600
    demand = {
        "hours": hours,
        "jobs_per_hour": jobs / hours,
        "profile": _PROFILE,
        "seconds": _MEDIAN / _RATE,
        "rate": _RATE,
        "v3": 0.4,
        "fast": 0.1,
        "accounts": 6,
    }
    pools = {queue: {"least": number} for queue, number in WORKERS.items()}
    rules = {name: getattr(farm.settings, name) for name in ("account_running_cap", "fast_share")}
    layer = {"demand": demand, "pools": pools, "costs": costs, "delays": delays, "rules": rules}
    return scenario_of(layer, {"seed": seed})


def _cost(stage: Stage, alone: Sequence[Mapping[str, Unit]], drawn: float) -> dict[str, float]:
    """What a unit, a span and a frame of the stage take; what a segment's frame is ``drawn`` in is known."""
    shapes, seconds = [], []
    for job in alone:
        frames = job[Stage.SEGMENT].total
        spans = len(_spans(stage, frames))
        known = drawn * frames if stage is Stage.SEGMENT else 0.0
        shapes.append([1, spans, frames if spans and not known else 0])
        seconds.append(_seconds(job[stage].started_at, job[stage].finished_at) - known)
    return dict(zip(("unit", "span", "frame"), least_squares(shapes, seconds), strict=True))


def least_squares(shapes: Sequence[Sequence[int]], seconds: Sequence[float]) -> list[float]:
    """What each column of the shapes takes; one that would take less than nothing takes nothing."""
    columns, found = [True] * len(shapes[0]), np.zeros(len(shapes[0]))
    while True:
        found[columns] = np.linalg.lstsq(np.array(shapes)[:, columns], seconds, rcond=None)[0]
        if found[least := int(found.argmin())] >= 0:
            return [float(each) for each in found]
        columns[least], found[:] = False, 0.0


def _cut(farm: Farm, clips: Mapping[int, Path], order: Order) -> Order:
    """The order with the clip that is nearest to what it wanted."""
    frames = min(CLIPS, key=lambda each: abs(each - order.video.frames))
    return replace(order, video=farm.judged(clips[frames]).video)


def _of_model(scenario: Scenario, sent: Sequence[Order]) -> Course:
    outcome = simulate(scenario, sent)
    span = outcome.seconds - sent[0].at
    return Course(
        [render.wait for render in outcome.renders],
        [render.whole for render in outcome.renders],
        span,
        {queue: outcome.pools[queue].busy / (span * number) for queue, number in WORKERS.items()},
        len(outcome.refused),
    )


def _of_farm(farm: Farm, clips: Mapping[int, Path], sent: Sequence[Order]) -> Course:
    """Send the orders at their times, wait for the end of all, and read what the rows say."""
    owners = _owners(farm, {order.account for order in sent})
    ids, begun = [], time.monotonic() - sent[0].at
    for order in sent:
        time.sleep(max(0.0, begun + order.at - time.monotonic()))
        try:
            ids.append(_submit(farm, clips[order.video.frames], owners[order.account], order))
        except FarmError as error:
            if error.code != "CS-UORC01-001":
                raise
    farm.wait_ended(ids, 3600)
    with farm.database.begin() as session:
        jobs = session.scalars(select(Job).where(Job.id.in_(ids))).all()
        worked = func.extract("epoch", func.sum(Unit.finished_at - Unit.started_at))
        query = select(Unit.queue, worked).where(Unit.job_id.in_(ids)).group_by(Unit.queue)
        busy = {queue: float(seconds) for queue, seconds in session.execute(query)}
    if failed := [job.id for job in jobs if job.status != "complete"]:
        raise RuntimeError(f"{len(failed)} jobs were not completed: {failed[0]}")
    ends = [job.completed_at for job in jobs if job.completed_at]
    span = _seconds(min(job.created_at for job in jobs), max(ends))
    return Course(
        [_seconds(job.created_at, job.started_at) for job in jobs],
        [_seconds(job.created_at, job.completed_at) for job in jobs],
        span,
        {queue: busy.get(queue, 0.0) / (span * number) for queue, number in WORKERS.items()},
        len(sent) - len(ids),
    )


def _owners(farm: Farm, names: Collection[str]) -> dict[str, str]:
    """An account for each name, with all that it needs."""
    with farm.database.begin() as session:
        owners = {name: accounts.create_account(session, new_id("sender")).id for name in sorted(names)}
        for owner in owners.values():
            credits.grant(session, owner, 1_000_000)
    return owners


def _submit(farm: Farm, clip: Path, account_id: str, order: Order) -> str:
    return farm.submit(
        clip,
        account_id=account_id,
        spec=RenderSpec(order.model),
        plan=plan_for(order.model, engine=farm.settings.engine_of(order.model)),
        mode=order.mode,
        credits=prices.price(order.video, order.mode),
    )


def _compared(theirs: Course, ours: Sequence[Course], scenario: Scenario) -> Measured:
    """By how much the model is off in each number, of the median of the runs."""
    told, runs = theirs.numbers(), [run.numbers() for run in ours]
    real = {name: median(run[name] for run in runs) for name in told}
    figures = [
        Figure(
            f"{name}: {told[name]:.4g} in the model, {real[name]:.4g} on the farm",
            100 * abs(told[name] / real[name] - 1),
            "% off",
            _MUST,
            _GOAL,
        )
        for name in told
    ]
    refused = {"model": theirs.refused, "farm": [run.refused for run in ours]}
    details = {"model": told, "farm": runs, "refused": refused, "scenario": asdict(scenario)}
    return Measured(tuple(figures), details)


def _told(course: Course) -> str:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in course.numbers().items())
    return f"{len(course.wholes)} jobs, {course.refused} refused: {numbers}"


def _spans(stage: Stage, frames: int) -> tuple[Span, ...]:
    video = VideoInfo(128, 96, Fraction(_RATE), frames, True, "h264")
    return spans_of(stage, plan_for(Model.V3), video, ())


def _seconds(begun: datetime | None, ended: datetime | None) -> float:
    assert begun is not None and ended is not None, "it has ended"
    return (ended - begun).total_seconds()
