"""What things cost on a farm: measured on jobs that have it for themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from statistics import median

import numpy as np

from pipeline.spec import RENDER, Model, Span, Stage, VideoInfo, plan_for
from pipeline.units import spans_of
from renderfarm import stages
from renderfarm.models import Unit
from renderfarm.trial.farm import Farm
from renderfarm.trial.speed.run import render

#: Frames of the clips: one piece and one segment; two segments; two pieces and four segments.
FRAMES = (15, 90, 240)
QUICK_FRAMES = FRAMES[:2]
_ROUNDS = 3
#: The units of a normal job: one a stage.
Units = Mapping[str, Unit]


def alone(
    farm: Farm, workers: Mapping[str, int], clips: Mapping[int, Path], *, quick: bool = False
) -> list[Units]:
    """The units, by stage, of V3 jobs that had the farm for themselves; its workers have drawn before."""
    for model, queue in stages.QUEUES.items():
        for _ in range(workers[queue]):
            render(farm, clips[FRAMES[0]], model=model)
    wanted = QUICK_FRAMES if quick else FRAMES * _ROUNDS
    runs = [render(farm, clips[frames], model=Model.V3) for frames in wanted]
    return [{unit.stage: unit for unit in farm.units(run.job_id).values()} for run in runs]


def costs_of(jobs: Sequence[Units], drawn: float) -> dict[Stage, dict[str, float]]:
    """What each stage takes, in which a frame is known to be ``drawn``."""
    return {stage: _cost(stage, jobs, drawn) for stage in RENDER}


def delays_of(jobs: Sequence[Units]) -> dict[str, float]:
    """What lies between a unit's making, its admission and its beginning where workers are free."""
    units = [unit for job in jobs for unit in job.values()]
    return {
        "admission": median(seconds(unit.created_at, unit.admitted_at) for unit in units),
        "delivery": median(seconds(unit.admitted_at, unit.started_at) for unit in units),
    }


def beside_drawing(jobs: Sequence[Units]) -> float:
    """Seconds of work in a job besides its segments."""
    return sum(
        median(seconds(job[stage].started_at, job[stage].finished_at) for job in jobs)
        for stage in RENDER
        if stage is not Stage.SEGMENT
    )


def _cost(stage: Stage, jobs: Sequence[Units], drawn: float) -> dict[str, float]:
    """What a unit, a span and a frame of the stage take; what a segment's frame is ``drawn`` in is known."""
    shapes, took = [], []
    for job in jobs:
        frames = job[Stage.SEGMENT].total
        spans = len(_spans(stage, frames))
        known = drawn * frames if stage is Stage.SEGMENT else 0.0
        shapes.append([1, spans, frames if spans and not known else 0])
        took.append(seconds(job[stage].started_at, job[stage].finished_at) - known)
    return dict(zip(("unit", "span", "frame"), least_squares(shapes, took), strict=True))


def least_squares(shapes: Sequence[Sequence[int]], took: Sequence[float]) -> list[float]:
    """What each column of the shapes takes; one that would take less than nothing takes nothing."""
    columns, found = [True] * len(shapes[0]), np.zeros(len(shapes[0]))
    while True:
        found[columns] = np.linalg.lstsq(np.array(shapes)[:, columns], took, rcond=None)[0]
        if found[least := int(found.argmin())] >= 0:
            return [float(each) for each in found]
        columns[least], found[:] = False, 0.0


def _spans(stage: Stage, frames: int) -> tuple[Span, ...]:
    video = VideoInfo(128, 96, Fraction(30), frames, True, "h264")
    return spans_of(stage, plan_for(Model.V3), video, ())


def seconds(begun: datetime | None, ended: datetime | None) -> float:
    """From one moment to another, of what has ended."""
    assert begun is not None and ended is not None, "it has ended"
    return (ended - begun).total_seconds()
