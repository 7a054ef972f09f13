"""``farm bench capacity``: the same jobs for a real farm and for the model, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

from pipeline.spec import Model, Stage
from renderfarm import stages
from renderfarm.simulate.demand import Order, orders
from renderfarm.simulate.scenario import Scenario, scenario_of
from renderfarm.trial.capacity.alone import FRAMES, Units, alone, beside_drawing, costs_of, delays_of
from renderfarm.trial.capacity.course import Course, of_farm, of_model
from renderfarm.trial.clip import make_clip
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.speed.figure import Figure, Measured
from renderfarm.trial.speed.run import steady

WORKERS: Mapping[str, int] = {"v3": 2, "v4": 3, "cpu": 1}
#: Milliseconds a frame of each model, and in a sample.
MS: Mapping[Model, int] = {Model.V3: 200, Model.V4: 250}
QUICK_MS = 20
#: Frames of the clips: an order has the one that is nearest to its length.
CLIPS = (30, 60, 90, 120, 180)
_RATE = 30
#: Percent by which the model may be off, and should not be.
_MUST, _GOAL = 15.0, 10.0
#: Two bursts, a quiet time before and after each.
_PROFILE = (0.3, 2.0, 2.0, 0.4, 0.2, 2.0, 0.6, 0.2)
#: Of the time that its pool needs for them all, the part in which the jobs come.
_CROWDED = 0.75
#: The median length of the jobs, in frames.
_MEDIAN = 75


def capacity(
    ground: Ground, *, jobs: int, runs: int, seed: int, quick: bool, tell: Callable[[str], None]
) -> Measured:
    """How far the model is off, of the median of so many ``runs`` of the same ``jobs`` on a real farm.

    Quick: frames take next to no time, so that all else weighs most; it shows whether it works, not how well.
    """
    ms = dict.fromkeys(Model, QUICK_MS) if quick else MS
    clips = {
        frames: make_clip(ground.folder / f"{frames}.mp4", frames=frames, size="128x96", rate=_RATE)
        for frames in {*CLIPS, *FRAMES}
    }
    engines = {f"engine_{queue}": f"fixed:ms={ms[model]}" for model, queue in stages.QUEUES.items()}
    with Farm.open(ground, workers=WORKERS, **{**steady("fixed:ms=0"), **engines}) as farm:
        jobs_alone = alone(farm, WORKERS, clips, quick=quick)
        scenario = _scenario(farm, jobs_alone, ms, jobs, seed)
        sent = [_cut(farm, clips, order) for order in orders(scenario.demand, seed)]
        theirs = of_model(scenario, sent)
        tell(f"the model: {_told(theirs)}")
        ours = []
        for number in range(runs):
            ours.append(of_farm(farm, WORKERS, clips, sent))
            tell(f"farm, run {number + 1} of {runs}: {_told(ours[-1])}")
    return _compared(theirs, ours, scenario)


def _scenario(
    farm: Farm, jobs_alone: Sequence[Units], ms: Mapping[Model, int], jobs: int, seed: int
) -> Scenario:
    """What was measured, the farm's own settings, and as many jobs as keep it busy for most of the time."""
    beside = costs_of(jobs_alone, ms[Model.V3] / 1000)
    costs = {
        queue: {**beside, Stage.SEGMENT: {**beside[Stage.SEGMENT], "frame": ms[model] / 1000}}
        for model, queue in stages.QUEUES.items()
    }
    work = beside_drawing(jobs_alone) + _MEDIAN * ms[Model.V4] / 1000
    hours = _CROWDED * jobs * work / sum(WORKERS.values()) / 3600
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
    layer = {
        "demand": demand,
        "pools": pools,
        "costs": costs,
        "delays": delays_of(jobs_alone),
        "rules": rules,
    }
    return scenario_of(layer, {"seed": seed})


def _cut(farm: Farm, clips: Mapping[int, Path], order: Order) -> Order:
    """The order with the clip that is nearest to what it wanted."""
    frames = min(CLIPS, key=lambda each: abs(each - order.video.frames))
    return replace(order, video=farm.judged(clips[frames]).video)


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
        if real[name]  # of few jobs a model may have none
    ]
    refused = {"model": theirs.refused, "farm": [run.refused for run in ours]}
    details = {"model": told, "farm": runs, "refused": refused, "scenario": asdict(scenario)}
    return Measured(tuple(figures), details)


def _told(course: Course) -> str:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in course.numbers().items())
    return f"{len(course.wholes)} jobs, {course.refused} refused: {numbers}"
