"""The PLATE stage: some frames of each view are looked at, never all of the video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.tracks import Tracks
from pipeline.plate.artifact import save_plate
from pipeline.plate.fillers import filler_for
from pipeline.plate.gather import sampled, samples_in
from pipeline.plate.samples import Samples
from pipeline.plate.views import View
from pipeline.protocol import Done, Progress, Report, Request

Frame = NDArray[np.uint8]

#: Progress counts the filling of a view as so many sampled frames.
_FILL_STEPS = 20


def make_plate(request: Request, report: Report) -> Done:
    """Write ``plate`` from ``tracks`` and the samples of all pieces."""
    video = request.video
    assert video is not None
    tracks = Tracks.load(request.inputs["tracks"])
    views = sampled(tracks, video)
    path = request.out / "plate.npz"
    finished = _finished(request, tracks, views, report)
    save_plate(path, (video.width, video.height), [view for view, _ in views], finished)
    return Done({"plate": str(path)})


def _finished(
    request: Request, tracks: Tracks, views: Sequence[tuple[View, list[int]]], report: Report
) -> Iterator[tuple[Frame, NDArray[np.float32]]]:
    """Each view's canvas, and how bright its frames are beside it."""
    video = request.video
    assert video is not None
    fill = filler_for(request.plan.fill)
    total, done = sum(len(numbers) + _FILL_STEPS for _, numbers in views), 0
    names = sorted(name for name in request.inputs if name.startswith("sample-"))
    frames = samples_in([request.inputs[name] for name in names])
    for view, numbers in views:
        samples = Samples(view, numbers, (video.width, video.height))
        for place in range(len(numbers)):
            samples.put(place, *next(frames))
            done += 1
            report(Progress(done, total))
        gains = np.ones((view.stop - view.start, 3), np.float32)
        if tracks.light is not None:
            gains = samples.match_light(tracks.light[view.start : view.stop])
        canvas, hole = samples.median()
        del samples  # before the fill takes memory of its own
        yield fill(canvas, hole), gains
        done += _FILL_STEPS
        report(Progress(done, total))
