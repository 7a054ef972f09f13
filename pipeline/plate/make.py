"""The PLATE stage: some frames of each view are looked at, never all of the video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import read_chosen
from pipeline.perception.mattes import chosen_mattes
from pipeline.perception.tracks import Tracks
from pipeline.plate.artifact import save_plate
from pipeline.plate.fillers import filler_for
from pipeline.plate.samples import Samples, chosen
from pipeline.plate.views import View, views_of
from pipeline.protocol import Done, Progress, Report, Request

Frame = NDArray[np.uint8]

#: Progress counts the filling of a view as so many sampled frames.
_FILL_STEPS = 20


def make_plate(request: Request, report: Report) -> Done:
    """Write ``plate`` from ``video``, ``tracks`` and the mattes."""
    video = request.video
    assert video is not None
    tracks = Tracks.load(request.inputs["tracks"])
    views = views_of(tracks, video.frames, video.width, video.height)
    path = request.out / "plate.npz"
    finished = _finished(request, tracks, views, report)
    save_plate(path, (video.width, video.height), views, finished)
    return Done({"plate": str(path)})


def _finished(
    request: Request, tracks: Tracks, views: Sequence[View], report: Report
) -> Iterator[tuple[Frame, NDArray[np.float32]]]:
    """Each view's canvas, and how bright its frames are beside it."""
    video = request.video
    assert video is not None
    fill = filler_for(request.plan.fill)
    known = _known(tracks, video.frames)
    numbers = [chosen(view, known[view.start : view.stop]) for view in views]
    every = [number for each in numbers for number in each]
    total, done = len(every) + _FILL_STEPS * len(views), 0
    colors = read_chosen(request.inputs["video"], video, every)
    frames = zip(colors, chosen_mattes(request, every, tracks), strict=True)
    for view, own in zip(views, numbers, strict=True):
        samples = Samples(view, own, (video.width, video.height))
        for place in range(len(own)):
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


def _known(tracks: Tracks, frames: int) -> NDArray[np.bool_]:
    """(T,): the frames in which everybody who is there was found; others' mattes miss somebody."""
    result = np.ones(frames, np.bool_)
    for person in tracks.people:
        result &= ~person.present | (person.slot >= 0)
    return result
