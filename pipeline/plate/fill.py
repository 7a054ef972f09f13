"""Fill what was never seen with what stands around it, so that it looks like more of the same.

Patch-based completion on a pyramid: Wexler, Shechtman, Irani: Space-Time Completion of Video (2007),
with the search of Barnes et al.: PatchMatch (2009), here over whole arrays at once. The patches are
found on a small picture; what they say is *where from*, and the colours are then taken from there at
full size, so that the texture is real. Last, Poisson's equation levels the brightness over the seams.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.plate.level import level

Frame = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Field = NDArray[np.float32]
#: int32 (h, w, 2): for each pixel the row and column of the one it resembles.
Nearest = NDArray[np.int32]

#: Patches are squares of 2 * _RADIUS + 1 pixels of the small picture.
_RADIUS = 3
#: The shorter side of the finest picture in which patches are searched, and of the coarsest.
_FINEST, _COARSEST = 176, 22
#: Rounds of searching and voting at each size, the coarsest first.
_ROUNDS = (8, 5, 4, 3)
#: What it costs (mean square of levels) to take a patch from a whole height up or down, a whole width
#: to the side: rooms are built in storeys, so a wall is continued by the wall beside it.
_UP_DOWN, _SIDEWAYS = 80.0**2, 60.0**2
#: What it costs, per squared level, to continue a busy scene with a calm one or the other way round:
#: a flat surface resembles every blur, and would otherwise spread over everything.
_BUSY = 1.0


def fill(canvas: Frame, hole: Mask) -> Frame:
    """``canvas`` (H, W, 3) with the pixels of ``hole`` (H, W) made up; the others are not touched."""
    if not hole.any():
        return canvas
    height, width = hole.shape
    scale = min(1.0, _FINEST / min(height, width))
    nearest: Nearest | None = None
    steps = max(1, round(np.log2(max(2.0, min(height, width) * scale / _COARSEST))) + 1)
    picture = small = gap = None
    for step in reversed(range(steps)):
        factor = scale / 2**step
        size = max(2, round(width * factor)), max(2, round(height * factor))
        small, gap = _shrink(canvas, hole, size)
        source = _sources(gap)
        if not source.any():
            continue
        first = picture is None
        picture = _start(small, gap) if picture is None else _carry_over(picture, small, gap)
        search = _Search(source, gap, _busyness(small, gap), np.random.default_rng(step))
        nearest = search.start(nearest)
        for _ in range(_ROUNDS[min(steps - 1 - step, len(_ROUNDS) - 1)]):
            nearest, cost = search.improve(picture, nearest, _certainty(gap) if first else None)
            picture = _vote(picture, gap, search.target, nearest, cost)
    if nearest is None or picture is None or small is None or gap is None:
        return _plain(canvas, hole)
    correction = level(small, gap, nearest)
    return _full_size(canvas, hole, nearest, gap, correction)


def _shrink(canvas: Frame, hole: Mask, size: tuple[int, int]) -> tuple[Field, Mask]:
    """The canvas at ``size``, with the colour of what is known only, and where nothing is."""
    known = (~hole).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    color = cv2.resize(canvas * known[..., None], size, interpolation=cv2.INTER_AREA)
    gap = np.asarray(weight < 0.99, np.bool_)
    return np.asarray(color / np.maximum(weight, 1e-3)[..., None], np.float32), gap


def _sources(gap: Mask) -> Mask:
    """The centres of patches that lie inside the picture and touch no gap."""
    size = 2 * _RADIUS + 1
    source = cv2.dilate(gap.astype(np.uint8), np.ones((size, size), np.uint8)) == 0
    for edge in (source[:_RADIUS], source[-_RADIUS:], source[:, :_RADIUS], source[:, -_RADIUS:]):
        edge[:] = False
    return np.asarray(source, np.bool_)


def _start(small: Field, gap: Mask) -> Field:
    """A first guess: colours run smoothly in from the edges of the gap."""
    guess = cv2.inpaint(np.clip(small, 0, 255).astype(np.uint8), gap.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return np.where(gap[..., None], guess.astype(np.float32), small)


def _certainty(gap: Mask) -> Field:
    """How much to believe the first guess: a blur believed is a blur found again, in the flattest wall."""
    inward = cv2.distanceTransform(gap.astype(np.uint8), cv2.DIST_L2, 3)
    return np.where(gap, 0.3 * 0.5**inward + 1e-4, 1).astype(np.float32)


def _busyness(small: Field, gap: Mask) -> Field:
    """float32 (h, w): the spread of the colours around each pixel; in the gap, as at its edges."""
    window = (2 * _RADIUS + 1, 2 * _RADIUS + 1)
    known = (~gap).astype(np.float32)
    count = np.maximum(cv2.blur(known, window), 1e-3)[..., None]
    mean = cv2.blur(small * known[..., None], window) / count
    square = cv2.blur(small**2 * known[..., None], window) / count
    spread = np.sqrt(np.maximum(square - mean**2, 0).mean(axis=2))
    levels = np.clip(spread, 0, 255).astype(np.uint8)
    guess = cv2.inpaint(levels, gap.astype(np.uint8), 3, cv2.INPAINT_TELEA).astype(np.float32)
    return np.where(gap, guess, spread).astype(np.float32)


def _carry_over(coarse: Field, small: Field, gap: Mask) -> Field:
    up = cv2.resize(coarse, (gap.shape[1], gap.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.where(gap[..., None], up, small).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Targets:
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


class _Search:
    """Finds for each patch that touches the gap the source patch that looks most like it."""

    def __init__(self, source: Mask, gap: Mask, busyness: Field, random: np.random.Generator) -> None:
        self.source = source
        size = 2 * _RADIUS + 1
        self.target = np.asarray(cv2.dilate(gap.astype(np.uint8), np.ones((size, size))) > 0, np.bool_)
        self._at = _Targets(*np.nonzero(self.target))
        self._shape = gap.shape
        self._busyness = busyness
        self._random = random
        self._weights: Field | None = None

    def start(self, coarse: Nearest | None) -> Nearest:
        """The field of the coarser picture, twice as large; at random where there is none."""
        height, width = self._shape
        rows, columns = np.nonzero(self.source)
        pick = self._random.integers(0, len(rows), (height, width))
        nearest: Nearest = np.stack([rows[pick], columns[pick]], axis=-1).astype(np.int32)
        if coarse is None:
            return nearest
        factor = np.array([height / coarse.shape[0], width / coarse.shape[1]])
        up = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
        grid = _grid(height, width)
        # Offsets, not places, are carried over: neighbours then copy neighbours.
        offset = up - np.floor(grid / factor)
        carried = self._inside(np.rint(grid + offset * factor).astype(np.int32))
        good = self.source[carried[..., 0], carried[..., 1]]
        return np.where(good[..., None], carried, nearest).astype(np.int32)

    def improve(self, picture: Field, nearest: Nearest, certainty: Field | None) -> tuple[Nearest, Field]:
        """One round: neighbours' finds are tried, then places ever nearer to the best so far.

        Where ``certainty`` (h, w) is given, pixels count for so much in the comparison.
        """
        patches = _patches(picture)
        self._weights = None if certainty is None else np.repeat(_patches(certainty[..., None]), 3, axis=2)
        at, best = self._at, nearest.copy()
        cost = np.full(self._shape, np.inf, np.float32)
        self._try(patches, best, cost, best[at.rows, at.columns])
        for jump in (8, 4, 2, 1, 1):
            for down, right in ((jump, 0), (-jump, 0), (0, jump), (0, -jump)):
                rows = np.clip(at.rows - down, 0, self._shape[0] - 1)
                columns = np.clip(at.columns - right, 0, self._shape[1] - 1)
                candidate = best[rows, columns] + np.array([down, right], np.int32)
                neighbour = self.target[rows, columns]
                here = best[at.rows, at.columns]
                self._try(patches, best, cost, np.where(neighbour[:, None], candidate, here))
        reach = max(self._shape)
        while reach >= 1:
            step = self._random.integers(-reach, reach + 1, (len(at.rows), 2), dtype=np.int32)
            self._try(patches, best, cost, best[at.rows, at.columns] + step)
            reach //= 3
        return best, cost

    def _try(self, patches: Field, best: Nearest, cost: Field, candidate: NDArray[np.int32]) -> None:
        """Take each target's candidate where it is a source and costs less."""
        at = self._at
        candidate = self._inside(candidate)
        differs = (candidate != best[at.rows, at.columns]).any(axis=1) | ~np.isfinite(
            cost[at.rows, at.columns]
        )
        use = np.flatnonzero(self.source[candidate[:, 0], candidate[:, 1]] & differs)
        rows, columns, there = at.rows[use], at.columns[use], candidate[use]
        difference = patches[rows, columns] - patches[there[:, 0], there[:, 1]]
        if self._weights is None:
            price = np.einsum("ij,ij->i", difference, difference) / difference.shape[1]
        else:
            weights = self._weights[rows, columns]
            price = np.einsum("ij,ij,ij->i", weights, difference, difference) / weights.sum(axis=1)
        height, width = self._shape
        price += _UP_DOWN * ((there[:, 0] - rows) / height) ** 2
        price += _SIDEWAYS * ((there[:, 1] - columns) / width) ** 2
        price += _BUSY * (self._busyness[there[:, 0], there[:, 1]] - self._busyness[rows, columns]) ** 2
        better = price < cost[rows, columns]
        rows, columns = rows[better], columns[better]
        best[rows, columns] = there[better]
        cost[rows, columns] = price[better]

    def _inside(self, places: NDArray[np.int32]) -> NDArray[np.int32]:
        high = np.array(self._shape, np.int32) - 1
        return np.asarray(np.clip(places, 0, high), np.int32)


def _grid(height: int, width: int) -> NDArray[np.int32]:
    """int32 (h, w, 2): each pixel's own row and column."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([rows, columns]).astype(np.int32)


def _patches(picture: Field) -> Field:
    """float32 (h, w, n): the patch around each pixel."""
    padded = np.pad(picture, ((_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0)), mode="reflect")
    size = 2 * _RADIUS + 1
    window = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))  # type: ignore[call-overload]
    return np.ascontiguousarray(window).reshape(*picture.shape[:2], -1)


def _vote(picture: Field, gap: Mask, target: Mask, nearest: Nearest, cost: Field) -> Field:
    """Each pixel of the gap becomes the mean of what the patches over it say, the sure ones first."""
    rows, columns = np.nonzero(gap)
    height, width = gap.shape
    spread = float(np.percentile(cost[target & np.isfinite(cost)], 60)) + 1.0
    # Patches near the edge of the gap know most of what they show.
    inward = cv2.distanceTransform(target.astype(np.uint8), cv2.DIST_L2, 3)
    weight = np.where(np.isfinite(cost), np.exp(-cost / spread) * 1.1**-inward, 0).astype(np.float32) + 1e-8
    total = np.zeros((len(rows), 3), np.float32)
    weights = np.zeros(len(rows), np.float32)
    for down in range(-_RADIUS, _RADIUS + 1):
        for right in range(-_RADIUS, _RADIUS + 1):
            centre = np.clip(rows - down, 0, height - 1), np.clip(columns - right, 0, width - 1)
            from_row = np.clip(nearest[centre][:, 0] + down, 0, height - 1)
            from_column = np.clip(nearest[centre][:, 1] + right, 0, width - 1)
            share = weight[centre]
            total += share[:, None] * picture[from_row, from_column]
            weights += share
    result = picture.copy()
    result[rows, columns] = total / weights[:, None]
    return result


def _full_size(canvas: Frame, hole: Mask, nearest: Nearest, gap: Mask, correction: Field) -> Frame:
    """The gap filled with the canvas's own pixels from where the small picture says."""
    height, width = hole.shape
    small_height, small_width = gap.shape
    rows, columns = np.nonzero(hole)
    factor = np.array([height / small_height, width / small_width], np.float32)
    small_rows = np.minimum((rows / factor[0]).astype(np.int32), small_height - 1)
    small_columns = np.minimum((columns / factor[1]).astype(np.int32), small_width - 1)
    grid = _grid(small_height, small_width)
    offsets = nearest - grid
    total = np.zeros((len(rows), 3), np.float32)
    count = np.zeros(len(rows), np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            centre = (
                np.clip(small_rows - down, 0, small_height - 1),
                np.clip(small_columns - right, 0, small_width - 1),
            )
            offset = np.rint(offsets[centre] * factor).astype(np.int32)
            from_row = np.clip(rows + offset[:, 0], 0, height - 1)
            from_column = np.clip(columns + offset[:, 1], 0, width - 1)
            share = np.where(hole[from_row, from_column], 1e-6, 2.0 - abs(down) * 0.5 - abs(right) * 0.5)
            share = share.astype(np.float32)
            total += share[:, None] * canvas[from_row, from_column]
            count += share
    up = cv2.resize(correction, (width, height), interpolation=cv2.INTER_LINEAR)
    result = canvas.copy()
    result[rows, columns] = np.clip(np.rint(total / count[:, None] + up[rows, columns]), 0, 255)
    return result


def _plain(canvas: Frame, hole: Mask) -> Frame:
    """For a canvas with too little to copy from: what is known, run smoothly; or grey."""
    if hole.all():
        return np.full_like(canvas, 128)
    filled = cv2.inpaint(canvas, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return np.asarray(filled, np.uint8)
