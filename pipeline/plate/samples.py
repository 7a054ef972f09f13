"""Samples of a view: some of its frames laid on its canvas, and the median of what they show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.light import GRID
from pipeline.plate import light
from pipeline.plate.removal import COVERED, closeness
from pipeline.plate.views import View, whole_step

Frame = NDArray[np.uint8]
Mask = NDArray[np.bool_]

#: Frames of a view that its median is taken from, and the bytes that they may take.
_MOST, _LEAST, _BYTES = 40, 8, 220_000_000
#: A pixel seen in a smaller share of the samples is one that the person, or a slip of the matte, owns.
_SEEN_SHARE = 0.06
#: Pixels seen in a smaller share than the first, in colours further apart than the second (levels),
#: did not show the scene.
_RARE_SHARE, _UNSTEADY = 0.35, 40
#: The light is matched on canvases so many times smaller.
_SMALLER = 4
#: Rows of a canvas whose median is taken at once: they stay in the processor's cache.
_STRIP = 16


def chosen(view: View, usable: Mask) -> list[int]:
    """The frames of ``view`` to sample: evenly spread over its ``usable`` (n,) ones, in order."""
    places = np.flatnonzero(usable)
    if not len(places):
        places = np.arange(view.stop - view.start)
    columns, rows = view.size
    most = min(_MOST, max(_LEAST, _BYTES // (4 * columns * rows)), len(places))
    picked = places[np.linspace(0, len(places) - 1, most).round().astype(int)]
    return [view.start + int(place) for place in picked]


class Samples:
    """The sampled frames of one view; uint8 colours and closeness to people, on its canvas."""

    def __init__(self, view: View, numbers: Sequence[int], size: tuple[int, int]) -> None:
        self._view, self._numbers, self._frame_size = view, numbers, size
        columns, rows = view.size
        small = max(1, rows // _SMALLER), max(1, columns // _SMALLER)
        self._colors = np.zeros((len(numbers), rows, columns, 3), np.uint8)
        self._near = np.full((len(numbers), rows, columns), 255, np.uint8)
        self._small = np.zeros((len(numbers), *small, 3), np.uint8)
        self._small_near = np.full((len(numbers), *small), 255, np.uint8)
        self._missed: list[int] = []

    def put(self, place: int, rgb: Frame, matte: Frame | None) -> None:
        """Lay frame ``numbers[place]`` on the canvas; ``matte`` is everybody's, smaller.

        A frame without one, in which somebody was missed, counts only where all are such frames.
        """
        if matte is None:
            self._missed.append(place)
            matte = np.zeros((2, 2), np.uint8)
        near = cv2.resize(closeness(matte), self._frame_size, interpolation=cv2.INTER_LINEAR)
        matrix = self._view.matrix(self._numbers[place])
        if matrix is not None:
            if (step := whole_step(matrix)) is not None:
                matrix = np.array([[1.0, 0, step[0]], [0, 1, step[1]], [0, 0, 1]])
            # What lies outside of the frame is as unseen as what is behind a person.
            size = self._view.size
            rgb = np.asarray(cv2.warpPerspective(rgb, matrix, size, flags=cv2.INTER_CUBIC), np.uint8)
            near = cv2.warpPerspective(near, matrix, size, flags=cv2.INTER_LINEAR, borderValue=[255])
        self._colors[place], self._near[place] = rgb, near
        small = self._small.shape[2], self._small.shape[1]
        self._small[place] = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA)
        self._small_near[place] = cv2.resize(near, small, interpolation=cv2.INTER_AREA)

    def match_light(self, grids: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Bring all samples to one light; returns float32 (n, 3), how bright each frame of the view is.

        ``grids`` is the view's part of ``Tracks.light``. Samples are first compared at a smaller size:
        a median of frames in different lights would be a patchwork of them.
        """
        self._hide_missed()
        gains = np.ones((len(grids), 3), np.float32)
        own = np.array(self._numbers) - self._view.start
        for _ in range(2):
            same = np.stack(
                [light.relight(rgb, 1 / gains[n]) for rgb, n in zip(self._small, own, strict=True)]
            )
            plate, _ = median(same, self._small_near)
            gains = light.gains(grids, self._grids(plate))
            if (gains == 1).all():
                return gains
        for place, number in enumerate(own):
            self._colors[place] = light.relight(self._colors[place], 1 / gains[number])
        return gains

    def median(self) -> tuple[Frame, Mask]:
        """The canvas, and where it is not to be trusted: where no sample showed the scene."""
        self._hide_missed()
        return median(self._colors, self._near)

    def _hide_missed(self) -> None:
        if len(self._missed) < len(self._numbers):
            self._near[self._missed] = self._small_near[self._missed] = 255

    def _grids(self, plate: Frame) -> Iterator[Frame]:
        """The light of the small ``plate`` as each frame of the view sees it."""
        if self._view.to_canvas is None:
            grid = np.asarray(cv2.resize(plate, GRID, interpolation=cv2.INTER_AREA), np.uint8)
            for _ in range(self._view.start, self._view.stop):
                yield grid
            return
        width, height = self._frame_size
        size = max(GRID[0], width // _SMALLER), max(GRID[1], height // _SMALLER)
        to_frame = np.diag([width / size[0], height / size[1], 1.0])
        rows, columns = plate.shape[:2]
        to_plate = np.diag([columns / self._view.size[0], rows / self._view.size[1], 1.0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        for number in range(self._view.start, self._view.stop):
            way = to_plate @ self._view.to_canvas[number - self._view.start] @ to_frame
            seen = cv2.warpPerspective(plate, way, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            yield np.asarray(cv2.resize(seen, GRID, interpolation=cv2.INTER_AREA), np.uint8)


def median(colors: NDArray[np.uint8], near: NDArray[np.uint8]) -> tuple[Frame, Mask]:
    """The median (h, w, 3) of what each pixel showed in ``colors`` (n, h, w, 3), and where to doubt it.

    ``near`` (n, h, w) is the ``closeness`` of people. Samples in which they are well away count; where
    those are too few, so do those in which the person is near but not over the pixel.
    """
    count, rows = near.shape[:2]
    canvas = np.empty(colors.shape[1:], np.uint8)
    doubtful, unseen = (np.zeros(colors.shape[1:3], np.bool_) for _ in range(2))
    need = max(1, round(_SEEN_SHARE * count))
    # Beside a person one sample is no witness.
    need_close = min(count, max(2, need))
    for top in range(0, rows, _STRIP):
        strip = slice(top, top + _STRIP)
        planes = list(colors[:, strip].copy())
        # Only the columns in which people come near need more than the middle of all.
        columns = np.flatnonzero(near[:, strip].any(axis=(0, 1)))
        across = slice(columns[0], columns[-1] + 1) if len(columns) else slice(0)
        close = near[:, strip, across]
        far = (close == 0).sum(axis=0, dtype=np.int16) >= need
        hidden = np.where(far, close > 0, close > COVERED)
        for plane, cover in zip(planes, hidden, strict=True):
            plane[:, across][cover] = 255  # sorts behind everything that was seen
        ranked = _sorted(planes)
        canvas[strip] = ranked[(count - 1) // 2]
        seen = count - hidden.sum(axis=0, dtype=np.int16)
        partly = np.nonzero(seen < count)
        if len(partly[0]):
            values = np.stack([plane[:, across] for plane in ranked])
            last = np.maximum(seen[partly] - 1, 0)
            ranks = (last // 2, last // 8, last - last // 8)
            middle, low, high = (values[(rank, *partly)] for rank in ranks)
            canvas[strip, across][partly] = middle
            # Seen seldom and not twice alike: hair, antlers, a hem that the matte missed.
            unsteady = (high.astype(np.int16) - low).max(axis=1) > _UNSTEADY
            rare = (seen[partly] < round(_RARE_SHARE * count)) & unsteady
            doubtful[strip, across][partly] = rare
            unseen[strip, across][partly] = (seen < np.where(far, need, need_close))[partly]
    # A slip of the matte has a rim of its own; what was covered all the time has the matte's.
    grown = cv2.dilate(doubtful.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return canvas, np.asarray(unseen | grown, np.bool_)


def _sorted(planes: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Arrays of the same shape, of whose values each place's smallest come first.

    Batcher's odd-even merge sort, whole arrays at a step: five times as fast as numpy's sort along
    an axis of forty. The given arrays are overwritten.
    """
    spare = np.empty_like(planes[0])
    for one, other in _comparisons(len(planes)):
        np.minimum(planes[one], planes[other], out=spare)
        np.maximum(planes[one], planes[other], out=planes[other])
        planes[one], spare = spare, planes[one]
    return planes


@cache
def _comparisons(count: int) -> tuple[tuple[int, int], ...]:
    """Batcher's network: Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M."""
    pairs: list[tuple[int, int]] = []
    run = 1
    while run < count:
        step = run
        while step:
            for start in range(step % run, count - step, 2 * step):
                for low in range(start, min(start + step, count - step)):
                    if low // (2 * run) == (low + step) // (2 * run):
                        pairs.append((low, low + step))
            step //= 2
        run *= 2
    return tuple(pairs)
