"""The SAMPLE stage: the frames that plates are made from, piece by piece, with everybody's matte.

Decoding a whole video for some of its frames is most of what a plate costs, and pieces of it can be
decoded side by side; what remains for the plate is small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import read_chosen
from pipeline.perception.mattes import chosen_mattes
from pipeline.perception.tracks import Tracks
from pipeline.plate.samples import chosen
from pipeline.plate.views import View, views_of
from pipeline.protocol import Done, Item, Progress, Report, Request
from pipeline.spec import VideoInfo

Frame = NDArray[np.uint8]
#: A frame's colours (H, W, 3), and everybody's matte, smaller; None where somebody was missed.
Sample = tuple[Frame, Frame | None]

#: As near to lossless as costs next to nothing: a level at most nearly everywhere, before a median.
_COLORS = (
    *(cv2.IMWRITE_JPEG_QUALITY, 100),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)
_MATTE = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def gather(request: Request, report: Report) -> Done:
    """Write ``sample-NNNN`` for each span of the request: those of its frames that plates need."""
    video = request.video
    assert video is not None
    tracks = Tracks.load(request.inputs["tracks"])
    wanted = [number for _, numbers in sampled(tracks, video) for number in numbers]
    total, done = sum(len(span) for span in request.spans), 0
    for span in request.spans:
        numbers = [number for number in wanted if number in range(span.start, span.stop)]
        colors = read_chosen(request.inputs["video"], video, numbers)
        frames = zip(numbers, colors, chosen_mattes(request, numbers, tracks), strict=True)
        arrays: dict[str, NDArray[np.uint8]] = {}
        for number, rgb, matte in frames:
            bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
            arrays[f"colors-{number}"] = cv2.imencode(".jpg", bgr, _COLORS)[1]
            if matte is not None:
                arrays[f"matte-{number}"] = cv2.imencode(".png", matte, _MATTE)[1]
            report(Progress(done + number - span.start, total))
        name = f"sample-{span.index:04d}"
        path = request.out / f"{name}.npz"
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        done += len(span)
        report(Progress(done, total))
        report(Item(span.index, {name: str(path)}))
    return Done()


def sampled(tracks: Tracks, video: VideoInfo) -> tuple[tuple[View, list[int]], ...]:
    """The views of a video, and the numbers of the frames that each one's plate is made from."""
    views = views_of(tracks, video.frames, video.width, video.height)
    known = _known(tracks, video.frames)
    return tuple((view, chosen(view, known[view.start : view.stop])) for view in views)


def samples_in(paths: Sequence[Path]) -> Iterator[Sample]:
    """What ``gather`` wrote to ``paths``, in order; one frame is held at a time."""
    for path in paths:
        with np.load(path, allow_pickle=False) as data:
            for name in data.files:
                kind, _, number = name.partition("-")
                if kind == "colors":
                    colors = cv2.cvtColor(cv2.imdecode(data[name], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
                    matte = data.get(f"matte-{number}")
                    yield (
                        np.asarray(colors, np.uint8),
                        None
                        if matte is None
                        else np.asarray(cv2.imdecode(matte, cv2.IMREAD_GRAYSCALE), np.uint8),
                    )


def _known(tracks: Tracks, frames: int) -> NDArray[np.bool_]:
    """(T,): the frames in which everybody who is there was found; others' mattes miss somebody."""
    result = np.ones(frames, np.bool_)
    for person in tracks.people:
        result &= ~person.present | (person.slot >= 0)
    return result
