"""Triangles: a grid over a texture, and the inverse map of a deformed one, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: The inverse map is computed at every so many pixels, at most, and interpolated between: it is smooth.
COARSEST = 8
#: Where no triangle is: so far outside of every texture that interpolation next to it is outside too.
_NOWHERE = -1e5
#: What counts as inside of a triangle beyond its edge: rounding must leave no gap to its neighbour.
_EDGE = 1e-4


@dataclass(frozen=True)
class Mesh:
    """A triangulated part of a texture."""

    #: float32 (V, 2): x, y in the texture's pixels.
    vertices: Floats
    #: int32 (T, 3)
    triangles: NDArray[np.int32]

    @cached_property
    def corners(self) -> Floats:
        """(T, 6): each triangle's first corner and its two sides from there, in the texture's pixels."""
        a, b, c = (self.vertices[self.triangles[:, i]] for i in range(3))
        return np.hstack([a, b - a, c - a])


@dataclass(frozen=True)
class GridMesh(Mesh):
    """A mesh made from a lattice."""

    #: int64 (V, 2): the vertices' places in it.
    lattice: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lattice:
    """A square lattice in a picture, as one layer's texture sees it."""

    #: Pixels of the picture from one place to the next.
    step: float
    #: The texture's upper left corner in the picture, and pixels of the picture to one of the texture.
    origin: tuple[float, float]
    size: tuple[float, float]

    def pixel_of(self, places: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """The texture's pixel at a place of the lattice."""
        # Pixel centres: the texture's pixel 0 covers the picture's from -0.5 to -0.5 + size.
        pixels = (places * self.step - np.array(self.origin) + 0.5) / np.array(self.size) - 0.5
        return np.asarray(pixels, np.float64)

    def cell_of(self, pixels: NDArray[np.float64]) -> NDArray[np.int64]:
        """The place of the upper left corner of the cell that a pixel of the texture lies in."""
        at = np.array(self.origin) - 0.5 + (pixels + 0.5) * np.array(self.size)
        return np.asarray(np.floor(at / self.step), np.int64)


def grid_mesh(alpha: NDArray[np.uint8], cells: Lattice, margin: int) -> GridMesh:
    """Triangles between the places of a lattice, over all pixels within ``margin`` of a visible one."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    rows, columns = np.nonzero(cv2.dilate(np.asarray(alpha > 0, np.uint8), kernel))
    if not len(rows):
        rows = columns = np.zeros(1, np.int64)  # a layer of which nothing can be seen still has a place
    # A cell has the pixels between its corners, and those that it shares with its neighbours.
    at = np.stack([columns, rows], axis=1)
    touched = [cells.cell_of(at - 0.5), cells.cell_of(at + 0.5)]
    first, last = touched[0].min(axis=0), touched[1].max(axis=0)
    wanted = np.zeros((last - first + 1)[::-1], np.bool_)
    for cell in touched:
        wanted[cell[:, 1] - first[1], cell[:, 0] - first[0]] = True
    wide = int(last[0] - first[0]) + 2
    r, c = np.nonzero(wanted)
    corner = r * wide + c
    below = corner + wide
    both = np.stack([[corner, corner + 1, below], [corner + 1, below + 1, below]], axis=0)
    triangles = both.transpose(2, 0, 1).reshape(-1, 3)
    used, compact = np.unique(triangles, return_inverse=True)
    lattice = np.stack([used % wide, used // wide], axis=1) + first
    return GridMesh(
        cells.pixel_of(lattice).astype(np.float32), compact.reshape(-1, 3).astype(np.int32), lattice
    )


@dataclass(frozen=True, slots=True)
class Deformed:
    """A mesh with its vertices at ``places`` (V, 2) in the frame, and the frame's part that is wanted."""

    mesh: Mesh
    places: Floats
    #: left, top, width, height
    box: tuple[int, int, int, int]


def inverse_map(deformed: Deformed, lattice: int) -> Floats:
    """For every pixel of the box, where in the texture it comes from.

    float32 (height, width, 2); far outside of the texture where no triangle lies. Where triangles lie on
    each other the later one wins.
    """
    return enlarged(coarse_maps([deformed], lattice)[0], deformed.box, lattice)


def coarse_maps(all_of: Sequence[Deformed], lattice: int) -> list[Floats]:
    """The inverse maps, each only at every ``lattice`` pixels, which should be few against a triangle's side.

    All at once: of small figures numpy's own overhead is the larger part.
    """
    sizes, places = [], []
    for one in all_of:
        left, top, width, height = one.box
        sizes.append((-(-width // lattice) + 2, -(-height // lattice) + 2))
        # Enlarging puts a computed place in the middle of its pixels, the first one before the box.
        first = np.array([left, top], np.float32) + (lattice - 1) / 2 - lattice
        places.append(((one.places - first) / np.float32(lattice))[one.mesh.triangles])
    corners = np.concatenate(places)
    # Each map is a run of one long line of places.
    starts = np.cumsum([0, *(columns * rows for columns, rows in sizes)])
    size, start = (
        np.repeat(np.array(values, np.int32), [len(each) for each in places], axis=0)
        for values in (sizes, starts[:-1])
    )
    which, x, y = _candidates(corners, size)
    inverse = _affine(corners)[which]
    fx, fy = x - corners[which, 0, 0], y - corners[which, 0, 1]
    u, v = inverse[:, 0] * fx + inverse[:, 1] * fy, inverse[:, 2] * fx + inverse[:, 3] * fy
    inside = (u >= -_EDGE) & (v >= -_EDGE) & (u + v <= 1 + _EDGE)
    which, x, y, u, v = (values[inside] for values in (which, x, y, u, v))
    source = np.concatenate([one.mesh.corners for one in all_of])[which]
    coarse = np.full((starts[-1], 2), _NOWHERE, np.float32)
    at = start[which] + y * size[which, 0] + x
    coarse[at] = source[:, 0:2] + u[:, None] * source[:, 2:4] + v[:, None] * source[:, 4:6]
    return [
        coarse[start : start + columns * rows].reshape(rows, columns, 2)
        for start, (columns, rows) in zip(starts.tolist(), sizes, strict=False)
    ]


def enlarged(coarse: Floats, box: tuple[int, int, int, int], lattice: int) -> Floats:
    """A coarse map at every pixel of its box."""
    rows, columns = coarse.shape[:2]
    fine = cv2.resize(coarse, (columns * lattice, rows * lattice), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[lattice : lattice + box[3], lattice : lattice + box[2]], np.float32)


def _candidates(
    corners: Floats, sizes: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]:
    """Triangles, columns and rows of all places that lie in the triangles' bounding boxes.

    ``sizes`` (T, 2) are the columns and rows that there are.
    """
    least, most = corners.min(axis=1), corners.max(axis=1)
    low = np.clip(np.ceil(least - _EDGE), 0, sizes).astype(np.int32)
    high = np.clip(np.floor(most + _EDGE), -1, sizes - 1).astype(np.int32)
    wide, tall = np.maximum(high - low + 1, 0).T
    lines = np.repeat(np.arange(len(corners)), np.where(wide > 0, tall, 0))
    row = low[lines, 1] + _counted(np.where(wide > 0, tall, 0))
    line = np.repeat(np.arange(len(lines)), wide[lines])
    which = lines[line]
    return which, low[which, 0] + _counted(wide[lines]), row[line]


def _counted(counts: NDArray[np.int32]) -> NDArray[np.int32]:
    """0, 1, ... count - 1 for each of ``counts``, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return (np.arange(total) - np.repeat(ends - counts, counts)).astype(np.int32)


def _affine(corners: Floats) -> Floats:
    """(T, 4): the inverse of each triangle's two sides; no number for one folded to a line."""
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    over = np.where(np.abs(area) > 1e-6, 1 / np.where(area == 0, 1, area), np.nan)
    return np.asarray(np.stack([ac[:, 1], -ac[:, 0], -ab[:, 1], ab[:, 0]], 1) * over[:, None], np.float32)
