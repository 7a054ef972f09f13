"""Fill what was never seen with what stands around it, so that edges and patterns run on.

Around the gap it is found by which shifts the picture resembles itself; for each pixel of the gap one of
them is chosen, so that no seam shows; and the pixels are copied from there at full size. Last, Poisson's
equation levels the brightness over the seams.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.plate.labels import label
from pipeline.plate.level import level
from pipeline.plate.shifts import Shifts, shifts_around

Frame = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Field = NDArray[np.float32]

#: The shorter side of the picture on which shifts are chosen, unless that leaves a gap of more than so
#: many pixels.
_SHORT, _MOST = 176, 6000
#: What no shift reaches is filled from what has been filled before, so many times.
_TURNS = 3


def fill(canvas: Frame, hole: Mask) -> Frame:
    """``canvas`` (H, W, 3) with the pixels of ``hole`` (H, W) made up; the others are not touched."""
    if not hole.any():
        return canvas
    # What lies in the hole must not matter, not even to what matches best.
    canvas = np.where(hole[..., None], np.uint8(0), canvas)
    for _ in range(_TURNS):
        filled = _continued(canvas, hole)
        if filled is None:
            break
        canvas, hole = filled
        if not hole.any():
            break
    return _plain(canvas, hole) if hole.any() else canvas


def _continued(canvas: Frame, hole: Mask) -> tuple[Frame, Mask] | None:
    """The canvas with all that can be copied from what is known, and the hole left; None if nothing can."""
    height, width = hole.shape
    scale = min(1.0, _SHORT / min(height, width), float(np.sqrt(_MOST / hole.sum())))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    small, gap = _shrink(canvas, hole, size)
    shifts = shifts_around(canvas, hole, small, gap)
    if not len(shifts):
        return None
    factor = np.array(hole.shape) / gap.shape
    labels = label(small, gap, shifts, factor)
    if (labels < 0).all():
        return None
    grid = np.moveaxis(np.indices(gap.shape), 0, -1)
    nearest = np.clip(grid + np.rint(shifts[labels] / factor), 0, np.array(gap.shape) - 1)
    correction = level(small, gap, labels >= 0, nearest.astype(np.int32))
    return _full_size(canvas, hole, labels, shifts, correction)


def _shrink(canvas: Frame, hole: Mask, size: tuple[int, int]) -> tuple[Field, Mask]:
    """The canvas at ``size``, with the colour of what is known only, and where nothing is."""
    known = (~hole).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    color = cv2.resize(canvas * known[..., None], size, interpolation=cv2.INTER_AREA)
    gap = np.asarray(weight < 0.99, np.bool_)
    return np.asarray(color / np.maximum(weight, 1e-3)[..., None], np.float32), gap


def _full_size(
    canvas: Frame, hole: Mask, labels: NDArray[np.intp], shifts: Shifts, correction: Field
) -> tuple[Frame, Mask]:
    """The hole filled with the canvas's own pixels, and what is left of it; seams are a little soft."""
    height, width = hole.shape
    rows, columns = np.nonzero(hole)
    small = rows * labels.shape[0] // height, columns * labels.shape[1] // width
    total = np.zeros((len(rows), 3), np.float32)
    count = np.zeros(len(rows), np.float32)
    highest = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8))
    lowest = cv2.erode(labels.astype(np.float32), np.ones((3, 3), np.uint8))
    seam = np.flatnonzero((highest != lowest)[small])
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            here = seam if down or right else np.arange(len(rows))
            chosen = labels[
                np.clip(small[0][here] - down, 0, labels.shape[0] - 1),
                np.clip(small[1][here] - right, 0, labels.shape[1] - 1),
            ]
            y, x = (np.stack([rows[here], columns[here]], axis=1) + shifts[chosen]).T
            good = (chosen >= 0) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
            y, x = np.where(good, y, 0), np.where(good, x, 0)
            good &= ~hole[y, x]
            share = np.where(good, np.float32(2.0 - abs(down) * 0.5 - abs(right) * 0.5), np.float32(0))
            total[here] += share[:, None] * canvas[y, x]
            count[here] += share
    known = np.flatnonzero(count)
    rows, columns = rows[known], columns[known]
    up = cv2.resize(correction, (width, height), interpolation=cv2.INTER_LINEAR)
    result, left = canvas.copy(), hole.copy()
    color = total[known] / count[known, None] + up[rows, columns]
    result[rows, columns] = np.clip(np.rint(color), 0, 255)
    left[rows, columns] = False
    return result, left


def _plain(canvas: Frame, hole: Mask) -> Frame:
    """For a canvas with too little to copy from: what is known, run smoothly; or grey."""
    if hole.all():
        return np.full_like(canvas, 128)
    filled = cv2.inpaint(canvas, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return np.asarray(filled, np.uint8)
