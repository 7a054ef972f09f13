"""Triangles: a grid over a texture, and the inverse map of a deformed one, all at once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: The inverse map is computed at every so many pixels and interpolated between: it is smooth.
LATTICE = 4
#: Where no triangle is: so far outside of every texture that interpolation next to it is outside too.
_NOWHERE = -1e5


@dataclass(frozen=True, slots=True)
class Mesh:
    """A triangulated part of a texture."""

    #: float32 (V, 2): x, y in the texture's pixels.
    vertices: Floats
    #: int32 (T, 3)
    triangles: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
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
    found = np.unique(np.concatenate([cells.cell_of(at - 0.5), cells.cell_of(at + 0.5)]), axis=0)
    wide = int(found[:, 0].max() - found[:, 0].min()) + 3
    first = found.min(axis=0)
    corner = (found[:, 1] - first[1]) * wide + found[:, 0] - first[0]
    below = corner + wide
    both = np.stack([[corner, corner + 1, below], [corner + 1, below + 1, below]], axis=0)
    triangles = both.transpose(2, 0, 1).reshape(-1, 3)
    used, compact = np.unique(triangles, return_inverse=True)
    lattice = np.stack([used % wide, used // wide], axis=1) + first
    return GridMesh(
        cells.pixel_of(lattice).astype(np.float32), compact.reshape(-1, 3).astype(np.int32), lattice
    )


def inverse_map(mesh: Mesh, places: Floats, box: tuple[int, int, int, int], lattice: int = LATTICE) -> Floats:
    """For every pixel of ``box`` (left, top, width, height), where in the texture it comes from.

    ``places`` (V, 2) are the vertices in the frame. float32 (height, width, 2); far outside of the
    texture where no triangle lies. Where triangles lie on each other the later one wins.
    """
    left, top, width, height = box
    columns, rows = width // lattice + 2, height // lattice + 2
    corners = (places - np.array([left, top], np.float32))[mesh.triangles] / lattice
    coarse = np.full((rows, columns, 2), _NOWHERE, np.float32)
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    least, most = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    low = np.clip(np.ceil(least - 1e-4), 0, [columns, rows]).astype(np.int64)
    high = np.clip(np.floor(most + 1e-4), -1, [columns - 1, rows - 1]).astype(np.int64)
    spans = np.maximum(high - low + 1, 0)
    counts = spans[:, 0] * spans[:, 1]
    which = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    inner = np.arange(len(which)) - first[which]
    x = low[which, 0] + inner % np.maximum(spans[which, 0], 1)
    y = low[which, 1] + inner // np.maximum(spans[which, 0], 1)
    u, v = _barycentric(corners, which, x, y)
    inside = (u >= -1e-4) & (v >= -1e-4) & (u + v <= 1 + 1e-4)
    which, x, y, u, v = which[inside], x[inside], y[inside], u[inside, None], v[inside, None]
    a, b, c = (mesh.vertices[mesh.triangles[which, i]] for i in range(3))
    coarse[y, x] = a + u * (b - a) + v * (c - a)
    enlarge = np.array([[1 / lattice, 0, 0], [0, 1 / lattice, 0]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(coarse, enlarge, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fine, np.float32)


def _barycentric(
    corners: Floats, which: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    a = corners[:, 0]
    ab, ac = corners[:, 1] - a, corners[:, 2] - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    # A triangle folded to a line covers nothing.
    over = np.where(np.abs(area) > 1e-6, 1 / np.where(area == 0, 1, area), np.nan)[which]
    px, py = x - a[which, 0], y - a[which, 1]
    u = (px * ac[which, 1] - py * ac[which, 0]) * over
    v = (py * ab[which, 0] - px * ab[which, 1]) * over
    return u.astype(np.float32), v.astype(np.float32)
