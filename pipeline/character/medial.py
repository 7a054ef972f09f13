"""The medial tree of a silhouette: paths through its middle, to the tips of all that stands out of it.

After Sato et al.: TEASAR (2000): from the middle of the figure to the farthest point, then to the
point farthest from that path, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Plane = NDArray[np.float64]

#: A branch shorter than this share of the figure's height ends the search; so do so many branches.
_SHORTEST, _BRANCHES = 0.05, 12
#: How much a path keeps to the middle of what it runs through.
_CENTRED = 1.5
#: The trunk is about so near to the middle of the figure, in its heights.
_TRUNK = 0.18


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A path from the figure's middle to a tip; branches share their beginnings."""

    #: float64 (n, 2): x and y of every pixel on the way.
    path: Plane
    #: float64 (n,): how far the figure's edge is from there.
    depth: Plane
    #: How much of the branch stands out of those found before it, and how thick that is.
    length: float
    thickness: float

    @property
    def tip(self) -> Plane:
        return np.asarray(self.path[-1], np.float64)

    def shared(self, other: Branch) -> int:
        """Place on the path of the last pixel that it has in common with ``other``'s."""
        count = min(len(self.path), len(other.path))
        apart = np.flatnonzero((self.path[:count] != other.path[:count]).any(axis=1))
        return int(apart[0]) - 1 if len(apart) else count - 1


def branches(inside: Mask) -> list[Branch]:
    """The medial branches of ``inside`` (bool (H, W), its edge False), the longest first."""
    inner = np.asarray(cv2.distanceTransform(np.asarray(inside, np.uint8), cv2.DIST_L2, 5), np.float64)
    index = np.full(inside.shape, -1, np.int64)
    index[inside] = np.arange(int(inside.sum()))
    rows, columns = np.nonzero(inside)
    depth = inner[inside]
    plain, medial = _graphs(inside, index, depth)
    root = index[_middle(inside, inner)]
    back = scipy.sparse.csgraph.dijkstra(medial, directed=False, indices=root, return_predecessors=True)[1]
    tree = [int(root)]
    height = np.ptp(rows) + 1
    found: list[Branch] = []
    for _ in range(_BRANCHES):
        far, _, source = scipy.sparse.csgraph.dijkstra(
            plain, directed=False, indices=tree, min_only=True, return_predecessors=True
        )
        # What does not hang together with the figure is out of reach, and has no source.
        out = np.where(np.isfinite(far), far - depth[np.maximum(source, 0)], -1)
        tip = int(np.argmax(out))
        if out[tip] < _SHORTEST * height:
            break
        path = [tip]
        while path[-1] != root:
            path.append(int(back[path[-1]]))
        path = path[::-1]
        # What lies beyond the ball around the path's last common point stands out.
        known = set(tree)
        joint = max(i for i, node in enumerate(path) if node in known)
        way = np.stack([columns[path], rows[path]], axis=1).astype(np.float64)
        beyond = np.linalg.norm(way - way[joint], axis=1) > depth[path[joint]]
        beyond[:joint] = False
        thick = 2 * float(np.median(depth[path][beyond])) if beyond.any() else np.inf
        found.append(Branch(way, depth[path], float(out[tip]), thick))
        tree += path[joint + 1 :]
    return found


def _graphs(
    inside: Mask, index: NDArray[np.int64], depth: Plane
) -> tuple[scipy.sparse.csr_matrix, scipy.sparse.csr_matrix]:
    """Steps between neighbouring pixels: by their length, and dearer the nearer they are to the edge."""
    starts, stops, lengths = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        height, width = inside.shape
        here = index[0 : height - dy, max(0, -dx) : width - max(0, dx)]
        there = index[dy:height, max(0, dx) : width - max(0, -dx)]
        both = (here >= 0) & (there >= 0)
        starts.append(here[both])
        stops.append(there[both])
        lengths.append(np.full(int(both.sum()), np.hypot(dx, dy)))
    a, b, length = np.concatenate(starts), np.concatenate(stops), np.concatenate(lengths)
    cost = length / ((depth[a] + depth[b]) / 2) ** _CENTRED
    shape = (len(depth), len(depth))
    return scipy.sparse.csr_matrix((length, (a, b)), shape), scipy.sparse.csr_matrix((cost, (a, b)), shape)


def _middle(inside: Mask, inner: Plane) -> tuple[int, int]:
    """The figure's deepest place near its middle: in its trunk, though its head may be thicker."""
    rows, columns = np.nonzero(inside)
    y, x = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    away = np.hypot(rows - y, columns - x) / (_TRUNK * (np.ptp(rows) + 1))
    best = int(np.argmax(inner[inside] * np.exp(-(away**2))))
    return int(rows[best]), int(columns[best])
