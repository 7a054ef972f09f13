"""Choose for each pixel of a gap by which of some shifts it is copied, so that no seam shows.

The energy is that of He and Sun (2012) and Pritch et al.: Shift-Map Image Editing (2009): where two
neighbours are copied by different shifts, both should look alike under either. It is lowered by loopy
belief propagation (Felzenszwalb, Huttenlocher, 2006), from large cells to single pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.plate.shifts import Shifts, far

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Labels = NDArray[np.intp]

#: The sides of cells (pixels), how many shifts a cell chooses from, and the rounds of messages.
_LEVELS = ((4, 40, 24), (2, 8, 10), (1, 6, 8))
#: Differences are no worse than this (mean square of levels): another thing is another thing.
_WORST = 60.0**2
#: What it costs to change the shift, however well it fits.
_CHANGE = 8.0
#: What a place costs whose source is not known.
_BAD = 1e5
#: How far around (cells) known pixels tell which shift fits, and how much each of these rings counts.
_RINGS = ((0.5, 1.0), (1.5, 0.1), (4.5, 0.01))
#: How much the surroundings count beside the seams.
_FIT = 1.0


@dataclass(frozen=True, slots=True)
class _Copies:
    """The picture as each of K shifts copies it."""

    #: (K, h, w, 3), of bytes: there are many.
    colors: NDArray[np.uint8]
    #: (K, h, w): whether the source is unknown.
    bad: Mask


def label(picture: Field, gap: Mask, shifts: Shifts, factor: NDArray[np.float64]) -> Labels:
    """For each pixel of ``gap`` (h, w) the number of its shift, -1 elsewhere and where none will do.

    ``picture`` is (h, w, 3); ``shifts`` are larger than in its pixels by ``factor`` (rows, columns).
    """
    height, width = gap.shape
    coarsest = _LEVELS[0][0]
    margin = (0, -height % coarsest), (0, -width % coarsest)
    picture = np.pad(picture, (*margin, (0, 0)), mode="edge")
    padded = np.pad(gap, margin, mode="edge")
    copies = _copies(picture, padded, shifts / factor)
    fit = _fit(picture, padded, copies) + far(shifts / factor, height, width)[:, None, None]
    chosen: Labels | None = None
    for side, choices, rounds in _LEVELS:
        level = _Cells(picture, padded, copies, side)
        few = level.best(fit, choices) if chosen is None else level.around(chosen, choices)
        chosen = level.choose(few, fit, rounds)
    assert chosen is not None
    chosen = chosen[:height, :width]
    rows, columns = np.nonzero(gap)
    result = np.full(gap.shape, -1, np.intp)
    own = chosen[rows, columns]
    result[rows, columns] = np.where(copies.bad[own, rows, columns], -1, own)
    return result


def _copies(picture: Field, gap: Mask, shifts: NDArray[np.float64]) -> _Copies:
    height, width = gap.shape
    colors = np.empty((len(shifts), height, width, 3), np.uint8)
    bad = np.empty((len(shifts), height, width), np.bool_)
    rounded = np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)
    unknown = gap.astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for number, (down, right) in enumerate(shifts):
        way = np.array([[1, 0, right], [0, 1, down]], np.float64)
        cv2.warpAffine(
            rounded, way, (width, height), colors[number], flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        bad[number] = cv2.warpAffine(unknown, way, (width, height), flags=flags, borderValue=[1]) > 0.01
    return _Copies(colors, bad)


def _fit(picture: Field, gap: Mask, copies: _Copies) -> Field:
    """(K, rows, columns) of the coarsest cells: how badly a shift fits what is known around each."""
    known = (~gap).astype(np.float32)
    side = _LEVELS[0][0]
    size = gap.shape[1] // side, gap.shape[0] // side
    amount = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    count = sum(cv2.GaussianBlur(amount, (0, 0), ring) * share for ring, share in _RINGS)
    result = np.empty((len(copies.colors), *size[::-1]), np.float32)
    for number, copy in enumerate(copies.colors):
        error = np.minimum(np.square(copy - picture).mean(axis=2), _WORST) * known
        error = cv2.resize(error, size, interpolation=cv2.INTER_AREA)
        total = sum(cv2.GaussianBlur(error, (0, 0), ring) * share for ring, share in _RINGS)
        result[number] = total / (count + 1e-4)
    return result


class _Cells:
    """The cells of one size that touch the gap: nodes of a grid on which messages run."""

    def __init__(self, picture: Field, gap: Mask, copies: _Copies, side: int) -> None:
        self._side = side
        self._copies = copies
        self._cells = _cut(picture, side)
        self._open = ~_cut(gap[..., None], side)
        holes = ~self._open.all(axis=-1)
        self._rows, self._columns = np.nonzero(holes)
        self._number = np.full(holes.shape, -1, np.intp)
        self._number[holes] = np.arange(len(self._rows))

    def best(self, fit: Field, choices: int) -> Labels:
        """(N, L): the shifts that fit each node best, unusable ones last."""
        scale = _LEVELS[0][0] // self._side
        own = fit[:, self._rows // scale, self._columns // scale].T + self._spoilt(None)
        return np.argsort(own, axis=1, kind="stable")[:, :choices]

    def around(self, chosen: Labels, choices: int) -> Labels:
        """(N, L): what larger cells chose here and next door: ``chosen`` is (h, w), of pixels."""
        reach = 2 * self._side
        height, width = chosen.shape
        row, column = self._rows * self._side, self._columns * self._side
        steps = (
            (0, 0),
            (-reach, 0),
            (reach, 0),
            (0, -reach),
            (0, reach),
            *((a, b) for a in (-reach, reach) for b in (-reach, reach)),
        )
        every = [
            chosen[np.clip(row + down, 0, height - 1), np.clip(column + right, 0, width - 1)]
            for down, right in steps
        ]
        return np.stack([np.where(one < 0, every[0], one) for one in every[:choices]], axis=1)

    def choose(self, few: Labels, fit: Field, rounds: int) -> Labels:
        """(h, w): the label of each pixel in a node, -1 elsewhere."""
        scale = _LEVELS[0][0] // self._side
        cost = _FIT * fit[few, self._rows[:, None] // scale, self._columns[:, None] // scale]
        cost += self._spoilt(few) + self._at_the_edge(few)
        best = few[np.arange(len(few)), _propagate(cost, self._links(few), rounds)]
        labels = np.full(self._number.shape, -1, np.intp)
        labels[self._rows, self._columns] = best
        return labels.repeat(self._side, axis=0).repeat(self._side, axis=1)

    def _spoilt(self, few: Labels | None) -> Field:
        """What it costs that a node's source is not known: (N, L), of all shifts where ``few`` is None."""
        numbers = np.arange(len(self._copies.bad))[None] if few is None else few
        side, row, column = self._side, self._rows[:, None], self._columns[:, None]
        share = np.zeros((len(self._rows), numbers.shape[1]), np.float32)
        for place in range(side * side):
            down, right = divmod(place, side)
            bad = self._copies.bad[numbers, row * side + down, column * side + right]
            share += bad & ~self._open[row, column, place]
        return np.asarray(_BAD / side**2 * share, np.float32)

    def _look(self, few: Labels, rows: Labels, columns: Labels) -> Field:
        """(n, L, side * side * 3): what the shifts ``few`` (n, L) copy to the cells at (n,) places."""
        side = self._side
        steps = np.arange(side)
        y = (rows[:, None] * side + steps)[:, None, :, None]
        x = (columns[:, None] * side + steps)[:, None, None, :]
        colors = self._copies.colors[few[:, :, None, None], y, x]
        return np.asarray(colors.reshape(*few.shape, 3 * side**2), np.float32)

    def _at_the_edge(self, few: Labels) -> Field:
        """(N, L): how badly what is copied over known pixels, next door or in the node, agrees with them."""
        cost = np.zeros(few.shape, np.float32)
        height, width = self._number.shape
        for down, right in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)):
            rows, columns = self._rows + down, self._columns + right
            node = np.flatnonzero((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width))
            node = node[self._open[rows[node], columns[node]].any(axis=-1)]
            y, x = rows[node], columns[node]
            apart = np.square(self._look(few[node], y, x) - self._cells[y, x][:, None])
            known = self._open[y, x].astype(np.float32).repeat(3, axis=-1)
            error = np.einsum("nlf,nf->nl", apart, known) / known.shape[1]
            cost[node] += 2 * np.minimum(error, _WORST)
        return cost

    def _links(self, few: Labels) -> list[tuple[Labels, Labels, Field]]:
        """Neighbours (n,) and (n,), and what it costs (n, L, L) to copy them by different shifts."""
        links = []
        height, width = self._number.shape
        for down, right in ((0, 1), (1, 0)):
            rows, columns = self._rows + down, self._columns + right
            one = np.flatnonzero((rows < height) & (columns < width))
            other = self._number[rows[one], columns[one]]
            one, other = one[other >= 0], other[other >= 0]
            cost = np.where(few[one][:, :, None] == few[other][:, None], np.float32(0), np.float32(_CHANGE))
            for at in (one, other):
                y, x = self._rows[at], self._columns[at]
                cost += np.minimum(_apart(self._look(few[one], y, x), self._look(few[other], y, x)), _WORST)
            links.append((one, other, cost))
        return links


def _cut(picture: NDArray[Any], side: int) -> NDArray[Any]:
    """(h, w, c) into cells: (h / side, w / side, side * side * c)."""
    height, width, channels = picture.shape
    cells = picture.reshape(height // side, side, width // side, side, channels).swapaxes(1, 2)
    return cells.reshape(height // side, width // side, -1)


def _apart(one: Field, other: Field) -> Field:
    """Mean squared differences of (n, L, f) and (n, M, f): (n, L, M)."""
    squares = np.square(one).sum(axis=2)[:, :, None] + np.square(other).sum(axis=2)[:, None]
    mixed = np.matmul(one, other.swapaxes(1, 2))
    return np.asarray(np.maximum(squares - 2 * mixed, 0) / one.shape[2], np.float32)


def _propagate(cost: Field, links: list[tuple[Labels, Labels, Field]], rounds: int) -> Labels:
    """(N,): of each node's labels, whose ``cost`` is (N, L), the place of the best in sight of all others."""
    messages = [[np.zeros((len(one), cost.shape[1]), np.float32)] * 2 for one, _, _ in links]
    for turn in range(rounds + 1):
        belief = cost.copy()
        for (one, other, _), (there, back) in zip(links, messages, strict=True):
            belief[other] += there
            belief[one] += back
        if turn == rounds:
            break
        for (one, other, apart), pair in zip(links, messages, strict=True):
            there, back = pair
            new_there = ((belief[one] - back)[:, :, None] + apart).min(axis=1)
            new_back = ((belief[other] - there)[:, None] + apart).min(axis=2)
            # Half of each: on a grid full of loops messages swing.
            pair[0] = (there + new_there - new_there.min(axis=1, keepdims=True)) / 2
            pair[1] = (back + new_back - new_back.min(axis=1, keepdims=True)) / 2
    return np.asarray(belief.argmin(axis=1), np.intp)
