"""A real clip with the embedded engine: on one worker with a core of its own, and on two."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from pipeline.spec import Model
from renderfarm.local.errors import StackError
from renderfarm.trial.farm import Farm, real_worker
from renderfarm.trial.ground import Ground
from renderfarm.trial.speed.figure import Figure, Measured
from renderfarm.trial.speed.run import Run, render, steady

SECONDS, QUICK_SECONDS = 30, 4
#: Two pieces and four segments: each of two workers loads all that it will need.
WARMING_SECONDS = 5
ROUNDS = 3
#: Two workers against one; percent of the work that only one can do; percent that is stitching.
_FASTER, _SERIAL, _STITCH = (1.85, 1.95), (8.1, 2.5), (2.0, 1.0)


def pair(ground: Ground, quick: bool, tell: Callable[[str], None], real: Path | None) -> Measured:
    """A 720p clip of 30 s (quick: 4 s), V3, from the submission's commit to the end, with workers warm.

    Both farms are idle but for the one that is measured, turn by turn. ``real`` is the folder of the real
    clips; raises ``StackError`` where there is none, or no two cores to give away.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if real is None or len(cores) < 2 or shutil.which("taskset") is None:
        raise StackError(
            "Two workers cannot be measured on a core each.",
            "It takes Linux, two cores, taskset and the real clips beside the checkout.",
        )
    clip = _cut(real / "sweater-dance.mp4", ground.folder / "real.mp4", QUICK_SECONDS if quick else SECONDS)
    warming = _cut(real / "sweater-dance.mp4", ground.folder / "warming.mp4", WARMING_SECONDS)
    picture = real / "elf.jpg"
    farms: dict[int, Farm] = {}
    runs: dict[int, list[Run]] = {1: [], 2: []}
    with ExitStack() as stack:
        for workers in runs:
            farms[workers] = stack.enter_context(Farm.open(ground, workers={"cpu": 1}, **steady()))
            for core in cores[:workers]:
                farms[workers].add_worker("v3", _pinned(core))
            farms[workers].wait_ready()
            for _ in range(workers):
                render(farms[workers], warming, picture=picture, mode=_mode(workers), model=Model.V3)
        for _ in range(1 if quick else ROUNDS):
            for workers, farm in farms.items():
                run = render(farm, clip, picture=picture, mode=_mode(workers), model=Model.V3, seconds=1800)
                runs[workers].append(run)
                tell(f"{workers} on a core each: {runs[workers][-1].whole:.1f} s")
    return _figures(runs, quick)


def _figures(runs: dict[int, list[Run]], quick: bool) -> Measured:
    alone = min(runs[1], key=lambda run: abs(run.whole - median(each.whole for each in runs[1])))
    faster = alone.whole / median(run.whole for run in runs[2])
    name = f"{QUICK_SECONDS if quick else SECONDS} s of 720p, V3" + (" (a sample)" if quick else "")
    # Amdahl: a share s that only one can do makes two workers 2 / (1 + s) times as fast.
    serial = 100 * max(0.0, 2 / faster - 1)
    stitching = 100 * alone.stages["stitch"]["work"] / alone.whole
    figures = (
        Figure(f"two workers against one, {name}", faster, "x", *_FASTER),
        Figure(f"serial share, {name}", serial, "%", *_SERIAL),
        Figure(f"stitching of the render on one worker, {name}", stitching, "%", *_STITCH),
    )
    return Measured(figures, {str(n): [run.to_json() for run in own] for n, own in runs.items()})


def _mode(workers: int) -> str:
    return "fast" if workers > 1 else "full_pipeline"


def _pinned(core: int) -> Sequence[str]:
    return ("taskset", "-c", str(core), *real_worker("v3"))


def _cut(video: Path, path: Path, seconds: int) -> Path:
    """So much of ``video``, from its start again where it is too short, at 1280x720 and 30 a second."""
    fit = "scale=1280:720:force_original_aspect_ratio=decrease,pad=1280:720:(ow-iw)/2:(oh-ih)/2,fps=30"
    source = ["-stream_loop", "-1", "-i", str(video), "-t", str(seconds), "-vf", fit]
    codec = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *source, *codec, str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path
