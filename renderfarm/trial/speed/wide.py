"""One fast job over many workers, whose engine takes a fixed time a frame and no processor."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

from renderfarm.trial.clip import make_clip
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.speed.figure import Figure, Measured
from renderfarm.trial.speed.run import Run, render, steady

MS, QUICK_MS = 200, 50
#: Workers, and how many times as fast as one they must be, and should.
WIDTHS = {8: (7.0, 7.6), 16: (13.0, 15.0)}
FRAMES = 900
ROUNDS = 3
#: Percent of the render that stitching may take.
_STITCH = (2.0, 1.0)


def wide(ground: Ground, quick: bool, tell: Callable[[str], None]) -> Measured:
    """900 frames of 320x180, timed from the submission's commit to the job's end, with workers warm.

    One worker is measured once: it takes three minutes by construction. Quick: frames take a quarter
    of their time, so that all else weighs four times as much; it shows whether it works, not how well.
    """
    ms = QUICK_MS if quick else MS
    clip, short = (
        make_clip(ground.folder / f"clip-{count}.mp4", frames=count, size="320x180") for count in (FRAMES, 15)
    )
    with ExitStack() as stack:

        def farm_of(workers: int) -> Farm:
            farm = stack.enter_context(
                Farm.open(ground, workers={"v4": workers, "cpu": 1}, **steady(f"fixed:ms={ms}"))
            )
            for _ in range(2):
                render(farm, short)
            return farm

        with stack:
            alone = render(farm_of(1), clip)
        tell(f"1 worker: {alone.whole:.2f} s")
        farms = {workers: farm_of(workers) for workers in WIDTHS}
        runs: dict[int, list[Run]] = {workers: [] for workers in WIDTHS}
        for _ in range(1 if quick else ROUNDS):
            for workers, farm in farms.items():
                runs[workers].append(render(farm, clip, mode="fast"))
                tell(f"{workers} workers: {runs[workers][-1].whole:.2f} s")
    name = f"{FRAMES} frames of {ms} ms" + (" (a sample)" if quick else "")
    figures = [
        Figure(
            f"{workers} workers against one, {name}",
            alone.whole / median(run.whole for run in own),
            "x",
            *WIDTHS[workers],
        )
        for workers, own in runs.items()
    ]
    share = 100 * alone.stages["stitch"]["work"] / alone.whole
    figures.append(Figure(f"stitching of the render on one worker, {name}", share, "%", *_STITCH))
    details: dict[str, Any] = {"ms": ms, "frames": FRAMES, "1": alone.to_json()}
    details |= {str(workers): [run.to_json() for run in own] for workers, own in runs.items()}
    return Measured(tuple(figures), details)
