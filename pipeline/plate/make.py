"""The PLATE stage: one pass over the video, a bounded number of frames held at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import read_frames
from pipeline.perception.mattes import mattes
from pipeline.perception.tracks import Tracks
from pipeline.plate import light
from pipeline.plate.artifact import save_plate
from pipeline.plate.fill import fill
from pipeline.plate.removal import covered
from pipeline.plate.views import View, views_of
from pipeline.protocol import Done, Progress, Report, Request
from pipeline.spec import Span

Frame = NDArray[np.uint8]

#: Frames of a view that its median is taken from, and the bytes that they may take.
_SAMPLES, _LEAST_SAMPLES, _SAMPLE_BYTES = 40, 8, 220_000_000
#: A pixel seen in a smaller share of the samples is one that the person, or a slip of the matte, owns.
_SEEN_SHARE = 0.06
#: Pixels seen in a smaller share than the first, in colours further apart than the second (levels),
#: did not show the scene.
_RARE_SHARE, _UNSTEADY = 0.35, 40
#: Progress counts a finished view as so many frames.
_VIEW_STEPS = 20


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
    total, done = video.frames + _VIEW_STEPS * len(views), 0
    frames = _frames(request, tracks)
    for view in views:
        collected = _Collector(view, video.width, video.height)
        for _ in range(view.start, view.stop):
            collected.add(*next(frames))
            done += 1
            report(Progress(done, total))
        canvas = fill(*collected.median())
        yield canvas, collected.gains(canvas)
        done += _VIEW_STEPS
        report(Progress(done, total))


def _frames(request: Request, tracks: Tracks) -> Iterator[tuple[Frame, Frame]]:
    """Each frame of the video with its matte."""
    video = request.video
    assert video is not None
    whole = Span(0, 0, video.frames)
    return zip(read_frames(request.inputs["video"], video), mattes(request, whole, tracks), strict=True)


@dataclass(frozen=True, slots=True)
class _Light:
    """What each frame of a view leaves for matching its light."""

    grids: NDArray[np.uint8]
    free: NDArray[np.bool_]


class _Collector:
    """Takes a view's frames in order, keeps an even sample of them on the view's canvas."""

    def __init__(self, view: View, width: int, height: int) -> None:
        self._view = view
        self._size = width, height
        columns, rows = view.size
        count = len(range(view.start, view.stop))
        held = min(_SAMPLES, max(_LEAST_SAMPLES, _SAMPLE_BYTES // (4 * columns * rows)), count)
        self._wanted = {int(n): k for k, n in enumerate(np.linspace(0, count - 1, held).round())}
        self._colors = np.zeros((held, rows, columns, 3), np.uint8)
        self._hidden = np.ones((held, rows, columns), np.bool_)
        grid = count, light.GRID[1], light.GRID[0]
        self._light = _Light(np.zeros((*grid, 3), np.uint8), np.zeros(grid, np.bool_))
        self._next = 0

    def add(self, rgb: Frame, matte: Frame) -> None:
        """The next frame and its matte."""
        number, self._next = self._next, self._next + 1
        hidden = covered(matte)
        self._light.grids[number] = light.grid_of(rgb)
        self._light.free[number] = light.free_of(hidden)
        if number not in self._wanted:
            return
        place = self._wanted[number]
        full = cv2.resize(hidden, self._size, interpolation=cv2.INTER_LINEAR)
        matrix = self._view.matrix(self._view.start + number)
        if matrix is not None:
            size = self._view.size
            rgb = np.asarray(cv2.warpPerspective(rgb, matrix, size, flags=cv2.INTER_CUBIC), np.uint8)
            # What lies outside of the frame is as unseen as what is behind a person.
            full = cv2.warpPerspective(full, matrix, size, flags=cv2.INTER_LINEAR, borderValue=[255])
        self._colors[place] = rgb
        self._hidden[place] = full > 0

    def median(self) -> tuple[Frame, NDArray[np.bool_]]:
        """The canvas: the median of what each pixel showed; and where that is not to be trusted."""
        count, rows = self._hidden.shape[:2]
        canvas = np.empty(self._colors.shape[1:], np.uint8)
        seen = count - self._hidden.sum(axis=0, dtype=np.int16)
        doubtful = seen < max(1, round(_SEEN_SHARE * count))
        rarely = seen < round(_RARE_SHARE * count)
        # Strips: the sort's 16-bit copy of all samples at once would be twice their size.
        for top in range(0, rows, 32):
            strip = slice(top, top + 32)
            values = self._colors[:, strip].astype(np.int16)
            values[self._hidden[:, strip]] = 256  # sorts behind everything that was seen
            values.sort(axis=0)
            last = np.maximum(seen[strip] - 1, 0)[None, ..., None]
            middle, low, high = (
                np.take_along_axis(values, last * rank // 8, axis=0)[0] for rank in (4, 1, 7)
            )
            canvas[strip] = np.minimum(middle, 255)
            # Seen seldom and not twice alike: hair, antlers, a hem that the matte missed.
            doubtful[strip] |= rarely[strip] & ((high - low).max(axis=2) > _UNSTEADY)
        kernel = np.ones((5, 5), np.uint8)
        return canvas, np.asarray(cv2.dilate(doubtful.astype(np.uint8), kernel) > 0, np.bool_)

    def gains(self, canvas: Frame) -> NDArray[np.float32]:
        """How bright each frame is beside ``canvas``: float32 (n, 3)."""
        return light.gains(self._light.grids, self._plates(canvas), self._light.free)

    def _plates(self, canvas: Frame) -> Iterator[Frame]:
        """The light of ``canvas`` as each frame of the view sees it."""
        still = light.grid_of(canvas)
        quarter = np.diag([4.0, 4.0, 1.0])
        size = max(1, self._size[0] // 4), max(1, self._size[1] // 4)
        for number in range(self._view.start, self._view.stop):
            matrix = self._view.matrix(number)
            if matrix is None:
                yield still
            else:
                flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
                seen = cv2.warpPerspective(canvas, matrix @ quarter, size, flags=flags)
                yield np.asarray(cv2.resize(seen, light.GRID, interpolation=cv2.INTER_AREA), np.uint8)
