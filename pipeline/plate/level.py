"""Level the brightness of a filled gap: Pérez, Gangnet, Blake: Poisson Image Editing (2003).

Pieces copied from here and there carry the light of where they stood; what should be kept of them is
how they change from pixel to pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: How strongly a pixel keeps the colour that was copied, beside the changes to its neighbours: light
#: is levelled over some 1 / sqrt(_STAY) pixels, so that an error does not spread over the whole gap.
_STAY = 0.004
#: Corrections beyond this (levels) are not light but another thing next door.
_MOST = 48.0


def level(
    picture: NDArray[np.float32],
    gap: NDArray[np.bool_],
    copied_ones: NDArray[np.bool_],
    nearest: NDArray[np.int32],
) -> NDArray[np.float32]:
    """float32 (h, w, 3): what to add to ``copied_ones`` of ``gap`` once each is copied from ``nearest``.

    The result has the gradients of the sources and the values of ``picture`` at the gap's edge; others of
    the gap have no part in it. ``nearest`` (h, w, 2) are rows and columns.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import spsolve

    height, width = gap.shape
    rows, columns = np.nonzero(copied_ones)
    count = len(rows)
    number = np.full(gap.shape, -1, np.int64)
    number[rows, columns] = np.arange(count)
    source = nearest[rows, columns]
    copied = picture.copy()
    copied[rows, columns] = picture[source[:, 0], source[:, 1]]
    degree = np.full(count, _STAY)
    wanted = _STAY * copied[rows, columns].astype(np.float64)
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        inside = (
            (rows + down >= 0) & (rows + down < height) & (columns + right >= 0) & (columns + right < width)
        )
        here = np.flatnonzero(inside)
        to_row, to_column = rows[here] + down, columns[here] + right
        known = ~gap[to_row, to_column] | copied_ones[to_row, to_column]
        here, to_row, to_column = here[known], to_row[known], to_column[known]
        # How the source changes on the way to its own neighbour, and how the neighbour's does on the
        # way here: over a seam these differ, and their mean is a step that belongs to neither.
        change = copied[rows[here], columns[here]] - _at(picture, source[here] + (down, right))
        other = number[to_row, to_column]
        both = other >= 0
        back = _at(picture, source[other[both]] - (down, right)) - copied[to_row[both], to_column[both]]
        change[both] = (change[both] + back) / 2
        wanted[here] += change
        degree[here] += 1
        wanted[here[~both]] += picture[to_row[~both], to_column[~both]]
        entries.append((here[both], other[both]))
    to = np.concatenate([a for a, _ in entries])
    at = np.concatenate([b for _, b in entries])
    laplacian = csr_matrix(
        (
            np.concatenate([degree, -np.ones(len(to))]),
            (np.concatenate([np.arange(count), to]), np.concatenate([np.arange(count), at])),
        ),
        shape=(count, count),
    )
    solved = np.column_stack([spsolve(laplacian.tocsc(), wanted[:, c]) for c in range(3)])
    correction = np.zeros(picture.shape, np.float32)
    correction[rows, columns] = np.clip(solved - copied[rows, columns], -_MOST, _MOST)
    return correction


def _at(picture: NDArray[np.float32], places: NDArray[np.int_]) -> NDArray[np.float32]:
    """The colours at (row, column) ``places``, the nearest ones of the picture where those lie outside."""
    high = np.array(picture.shape[:2]) - 1
    rows, columns = np.clip(places, 0, high).T
    return np.asarray(picture[rows, columns], np.float32)
