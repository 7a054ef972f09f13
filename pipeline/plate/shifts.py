"""By which shifts a picture resembles itself around a gap.

What stands at the edge of a gap mostly stands elsewhere too: the next brick, the frame further up, the
other pane. Copied by the same shift, what lies beyond continues it, edges and the phase of a pattern
included. He, Sun: Statistics of Patch Offsets for Image Completion (2012), here for the places around the
gap only, so that a small window counts beside a large wall.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Field = NDArray[np.float32]
#: (n, 2): by how many rows and columns to look down and right.
Shifts = NDArray[np.int_]

#: Blocks are squares of 2 * _RADIUS + 1 pixels of the small picture; around the gap lie at most so many.
_RADIUS, _BLOCKS = 8, 40
#: So far away, as shares of the longer side, the best match of each block is taken: what repeats itself
#: matches best next door, but out of a large gap only a large shift leads.
_DISTANCES = ((0.0, 0.15), (0.0, 0.15), (0.15, 0.35), (0.35, 1.0))
#: So many shifts are enough, the best ones.
_MOST = 128
#: At least so much of a block is known, and at most so little of what matches it is not.
_KNOWN, _UNKNOWN = 0.2, 0.1
#: Matches of a block nearer to each other than this are one.
_APART = 3
#: What it costs (mean square of levels) to look a whole height up or down, a whole width to the side:
#: rooms are built in storeys, so a wall is continued by the wall beside it. Three times as much for up and
#: down carries a rail through a large gap, but no longer a window's frame.
_UP_DOWN, _SIDEWAYS = 80.0**2, 60.0**2
#: Half the side of what is compared at full size, in pixels.
_CLOSE_UP = 24


def far(shifts: NDArray[Any], height: int, width: int) -> Field:
    """What it costs (mean square of levels) to look so far: (n,) for ``shifts`` (n, 2)."""
    down, right = shifts[..., 0] / height, shifts[..., 1] / width
    return np.asarray(_UP_DOWN * down**2 + _SIDEWAYS * right**2, np.float32)


def shifts_around(canvas: Frame, hole: Mask, small: Field, gap: Mask) -> Shifts:
    """The shifts, in pixels of ``canvas`` (H, W, 3), that bring something known to the edge of ``hole``.

    ``small`` (h, w, 3) and ``gap`` (h, w) are the same, smaller. The best come first.
    """
    factor = np.array(hole.shape) / gap.shape
    # Where blocks with the hole in them may lie.
    size = 2 * _RADIUS + 1
    unknown = cv2.boxFilter(gap.astype(np.float32), -1, (size, size))
    source = unknown[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS] <= _UNKNOWN
    if min(gap.shape) <= size or not source.any():
        return np.zeros((0, 2), np.int_)
    square = np.asarray(np.square(small).sum(axis=2), np.float32)
    found: list[tuple[float, int, int]] = []
    for centre in _around(gap):
        for cost, shift in _matches(small, square, gap, source, centre):
            down, right = _close_up(canvas, hole, centre, shift, factor)
            found.append((cost, down, right))
    kept: list[tuple[int, int]] = []
    for _, down, right in sorted(found):
        if all(abs(down - other[0]) > 1 or abs(right - other[1]) > 1 for other in kept):
            kept.append((down, right))
    return np.array(kept[:_MOST], np.int_).reshape(-1, 2)


def _around(gap: Mask) -> list[tuple[int, int]]:
    """Rows and columns of blocks' centres, evenly spread along the edges of the gap."""
    height, width = gap.shape
    outlines, _ = cv2.findContours(gap.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    columns, rows = np.concatenate([outline[:, 0] for outline in outlines]).T
    # The picture's own edge is no edge of the gap.
    inside = (columns > 0) & (columns < width - 1) & (rows > 0) & (rows < height - 1)
    columns, rows = columns[inside], rows[inside]
    count = min(_BLOCKS, len(rows), max(4, len(rows) // _RADIUS))
    chosen = np.linspace(0, max(0, len(rows) - 1), count).round().astype(int)
    rows = np.clip(rows[chosen], _RADIUS, height - 1 - _RADIUS)
    columns = np.clip(columns[chosen], _RADIUS, width - 1 - _RADIUS)
    return list(dict.fromkeys(zip(rows.tolist(), columns.tolist(), strict=True)))


def _matches(
    small: Field, square: Field, gap: Mask, source: Mask, centre: tuple[int, int]
) -> list[tuple[float, tuple[int, int]]]:
    """The best matches of the known part of the block at ``centre``: cost and shift."""
    row, column = centre
    part = np.s_[row - _RADIUS : row + _RADIUS + 1, column - _RADIUS : column + _RADIUS + 1]
    known = (~gap[part]).astype(np.float32)
    if known.mean() < _KNOWN:
        return []
    block = np.ascontiguousarray(small[part] * known[..., None])
    cost = np.asarray(cv2.matchTemplate(square, known, cv2.TM_CCORR), np.float32)
    cost += float(np.square(block).sum()) - 2 * np.asarray(
        cv2.matchTemplate(small, block, cv2.TM_CCORR), np.float32
    )
    cost /= 3 * float(known.sum())
    rows = np.arange(cost.shape[0])[:, None] + _RADIUS - row
    columns = np.arange(cost.shape[1])[None] + _RADIUS - column
    cost += far(np.stack(np.broadcast_arrays(rows, columns), axis=-1), *gap.shape)
    near = _RADIUS // 2
    cost[~source | ((abs(rows) < near) & (abs(columns) < near))] = np.inf
    away = np.maximum(abs(rows), abs(columns)) / max(gap.shape)
    found: list[tuple[float, tuple[int, int]]] = []
    for least, most in _DISTANCES:
        ring = np.where((away >= least) & (away < most), cost, np.float32(np.inf))
        y, x = divmod(int(ring.argmin()), cost.shape[1])
        if np.isfinite(ring[y, x]):
            found.append((float(cost[y, x]), (int(rows[y, 0]), int(columns[0, x]))))
            cost[max(0, y - _APART) : y + _APART + 1, max(0, x - _APART) : x + _APART + 1] = np.inf
    return found


def _close_up(
    canvas: Frame, hole: Mask, centre: tuple[int, int], shift: tuple[int, int], factor: NDArray[np.float64]
) -> tuple[int, int]:
    """A small picture's ``shift`` to the pixel of the full-sized one: bricks must not be half a joint off."""
    row, column = (np.array(centre) * factor).astype(int)
    down, right = np.rint(np.array(shift) * factor).astype(int)
    reach = int(np.ceil(factor.max()))
    top, left = max(0, row - _CLOSE_UP), max(0, column - _CLOSE_UP)
    own = np.s_[top : row + _CLOSE_UP, left : column + _CLOSE_UP]
    known = (~hole[own]).astype(np.float32)
    height, width = known.shape
    above, before = top + down - reach, left + right - reach
    below, after = above + height + 2 * reach, before + width + 2 * reach
    outside = above < 0 or before < 0 or below > hole.shape[0] or after > hole.shape[1]
    if outside or known.mean() < _KNOWN / 2:
        return int(down), int(right)
    there = canvas[above:below, before:after].astype(np.float32)
    cost = cv2.matchTemplate(
        there, canvas[own].astype(np.float32), cv2.TM_SQDIFF, mask=np.dstack([known] * 3)
    )
    y, x = divmod(int(cost.argmin()), cost.shape[1])
    return int(down + y - reach), int(right + x - reach)
