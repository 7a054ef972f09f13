"""A face that acts: the head's texture warped around the mesh points of the character's own face.

The warp is a mesh of the face's points and a still frame around them. Lids draw skin over the eye,
and lips that part show a mouth that the picture never showed.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from pipeline.engines.puppet.acting import Expression
from pipeline.engines.puppet.mesh import Deformed, Mesh, inverse_map
from pipeline.engines.puppet.mouth import Mouth, filled
from pipeline.engines.puppet.signals import Values
from pipeline.perception import face as points

Rgba = NDArray[np.uint8]

#: Pixels of the texture by which the warp goes beyond its box.
_EDGE = 4
#: The still frame's distance from the face, and a height below which a face is too small to act.
_AIR, _SMALLEST = 0.3, 12.0
#: From this height on, the warp is computed at every third pixel instead of every other.
_LARGE = 100.0
#: Lips of the picture that are parted so far show a mouth of their own.
_OWN_MOUTH = 0.03
#: Corners of a mouth lifted so far show teeth.
_GRIN = 0.05
#: At most so many times as far it opens: what it shows is stretched.
_STRETCH = 1.6
#: A gap between lids that is drawn, not human; and how far lids close, over that gap.
_DRAWN_EYE, _OVERLAP = 0.078, 1.3
#: At least so much of an open mouth stays open: drawn teeth do not vanish.
_STAYS_OPEN = 0.4


class Visage:
    """The face in a head's texture (premultiplied), which may be asked for any expression."""

    def __init__(self, texture: Rgba, mesh: NDArray[np.float32]) -> None:
        """``mesh`` (468, 2) is in the texture's pixels."""
        at = mesh.astype(np.float64)
        nose, brows = at[points.UNDER_NOSE], at[points.BETWEEN_BROWS]
        self.height = 2 * float(np.linalg.norm(nose - brows))
        self.able = self.height >= _SMALLEST
        if not self.able:
            return
        self._texture = texture
        self._lattice = 2 if self.height < _LARGE else 3
        down = (nose - brows) / np.linalg.norm(nose - brows)
        across = np.array([down[1], -down[0]])
        self._to = np.stack([across, down])
        low, high = at.min(axis=0) - _AIR * self.height, at.max(axis=0) + _AIR * self.height
        limit = np.array(texture.shape[1::-1]) - 1
        (left, top), (right, bottom) = (
            (int(v) for v in np.clip(low, 0, limit)),
            (int(v) for v in np.clip(high, 0, limit)),
        )
        self._box = left, top, right - left + 1, bottom - top + 1
        # Beyond the box: between its last pixel and the next computed place there is a triangle, too.
        still = _rim(left - _EDGE, top - _EDGE, right + _EDGE, bottom + _EDGE)
        self._rest = np.vstack([at, still])
        self._local = (at - (at[points.MOUTH_LEFT] + at[points.MOUTH_RIGHT]) / 2) @ self._to.T / self.height
        self._mouth = _MouthPlan(self._local)
        self._eyes = [_EyePlan(self._local, side) for side in (0, 1)]
        self._brow_weights = [_brow_weights(self._local, side) for side in (0, 1)]
        # Shut lips lie on each other: who is above and below shows when they part.
        apart = self._moved(Expression(jaw=self._mouth.gap + 0.12))
        triangles = Delaunay(apart).simplices.astype(np.int32)
        # Of what lies on each other the later wins: the upper lid over all, what is between the lids last.
        upper = [number for row in points.UPPER_LIDS for number in row]
        lids = [*upper, *(number for row in points.LOWER_LIDS for number in row)]
        between = np.isin(triangles, lids).all(axis=1)
        rank = np.where(between, 0, 1 + np.isin(triangles, upper).any(axis=1))
        triangles = triangles[np.argsort(rank, kind="stable")]
        self._mesh = Mesh(self._rest.astype(np.float32), triangles)
        self._inside = Mouth(texture, self._rest[list(points.OUTER_LOWER_LIP)], self.height)

    @property
    def own_gap(self) -> float:
        """How far the lips are parted in the picture, in face heights."""
        return self._mouth.gap

    def acting(self, expression: Expression) -> Rgba:
        """The head's texture with the face as ``expression`` says."""
        left, top, width, height = self._box
        part = np.s_[top : top + height, left : left + width]
        moved = self._moved(expression)
        back = inverse_map(Deformed(self._mesh, moved.astype(np.float32), self._box), self._lattice)
        face = np.asarray(
            cv2.remap(self._texture, back, _ONE_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )
        own = self._texture[part]
        origin = np.array([left, top])
        for side in (0, 1):
            if self._eyes[side].able and expression.eyes[side] < 0.98:
                upper, lower = moved[list(points.UPPER_LIDS[side])], moved[list(points.LOWER_LIDS[side])]
                # Between the lids the eye itself stays as it is; where they have met, nothing is between.
                lower[:, 1] = np.maximum(lower[:, 1], upper[:, 1])
                face = _blend(face, own, filled(np.vstack([upper, lower[::-1]]) - origin, face.shape))
        if self._mouth.gap < _OWN_MOUTH and expression.jaw > self._mouth.gap:
            upper, lower = moved[list(points.INNER_UPPER_LIP)], moved[list(points.INNER_LOWER_LIP)]
            smile = float(np.clip(expression.smile / _GRIN, 0, 1))
            self._inside.draw(face, upper - origin, lower - origin, smile)
        texture = self._texture.copy()
        texture[part] = face
        return texture

    def _moved(self, expression: Expression) -> Values:
        """Where the mesh's points go, (V, 2)."""
        move = self._mouth.move(expression)
        for side in (0, 1):
            move[:, 1] += self._eyes[side].move(expression.eyes[side])
            move[:, 1] -= expression.brows[side] * self._brow_weights[side]
        moved = self._rest.copy()
        moved[: points.POINTS] += move @ self._to * self.height
        return moved


_ONE_MAP = np.empty(0, np.float32)


class _MouthPlan:
    """How mouth and jaw move the points of a face; all in face heights, from the mouth's middle."""

    def __init__(self, local: Values) -> None:
        upper, lower = local[list(points.INNER_UPPER_LIP)], local[list(points.INNER_LOWER_LIP)]
        self.gap = max(0.0, float(local[points.LOWER_LIP, 1] - local[points.UPPER_LIP, 1]))
        self.half = max(1e-3, float(abs(local[points.MOUTH_LEFT, 0] - local[points.MOUTH_RIGHT, 0])) / 2)
        line = (upper + lower) / 2
        order = np.argsort(line[:, 0])
        x = local[:, 0]
        below = local[:, 1] - np.interp(x, line[order, 0], line[order, 1])
        below[list(points.INNER_UPPER_LIP)] = np.minimum(below[list(points.INNER_UPPER_LIP)], 0)
        inner = list(points.INNER_LOWER_LIP[1:-1])
        below[inner] = np.maximum(below[inner], 1e-3)
        chin = max(0.1, float(local[points.CHIN, 1]))
        q = np.abs(x) / self.half
        lips, jaw = np.maximum(1 - q**2, 0) ** 0.6, np.exp(-((x / 0.42) ** 2))
        t = np.clip(below / chin, 0, 1)
        under = np.where(below > 0, (1 - t) * lips + t * jaw, 0)
        over = np.where(below <= 0, lips * np.clip(1 + below / 0.2, 0, 1), 0)
        self._jaw = 0.86 * under - 0.14 * over
        near = np.exp(-((below / 0.17) ** 2))
        beyond = np.exp(-((np.maximum(q - 1, 0) / 0.7) ** 2))
        self._across = np.sign(x) * np.minimum(q, 1) * self.half * beyond * near
        self._lift = np.minimum(q, 1) ** 2 * beyond * np.exp(-((below / 0.2) ** 2))

    def move(self, expression: Expression) -> Values:
        wanted = max(expression.jaw, _STAYS_OPEN * self.gap)
        opened = (min(wanted, _STRETCH * self.gap) if self.gap >= _OWN_MOUTH else wanted) - self.gap
        move = np.empty((len(self._jaw), 2))
        move[:, 0] = (expression.wide - 1) * self._across
        move[:, 1] = expression.sure * opened * self._jaw - expression.smile * self._lift
        return move


class _EyePlan:
    """How the lids of one eye move the points of a face, downwards."""

    def __init__(self, local: Values, side: int) -> None:
        upper, lower = list(points.UPPER_LIDS[side]), list(points.LOWER_LIDS[side])
        x, y = local[:, 0], local[:, 1]
        order = np.argsort(local[upper, 0])
        across = local[upper, 0][order]
        top, bottom = (np.interp(x, across, local[lids, 1][order]) for lids in (upper, lower))
        brow = float(local[list(points.BROWS[side]), 1].mean())
        gap = np.maximum(bottom - top, 0)
        # Eyes larger than anybody's are drawn, and drawn otherwise than the mesh thinks: they stay open.
        self.able = float(gap[upper].max()) < _DRAWN_EYE
        # Lids close a little over each other: an iris may be wider than the mesh's eye.
        gap = gap * _OVERLAP
        within = (x >= across[0]) & (x <= across[-1])
        # The lid's own skin follows it, less and less towards the brow; below, the cheek hardly does.
        above = np.clip((y - brow) / np.maximum(top - brow, 1e-3), 0, 1)
        under = np.clip(1 - (y - bottom) / 0.08, 0, 1)
        falls = np.where(y <= top + 1e-6, above, 0.0)
        rises = np.where(y >= bottom - 1e-6, under, 0.0)
        falls[upper], rises[upper], rises[lower], falls[lower] = 1.0, 0.0, 1.0, 0.0
        self._shut = np.where(within, gap * (0.95 * falls - 0.05 * rises), 0.0)

    def move(self, opening: float) -> Values:
        return np.asarray((1 - opening) * self._shut * self.able, np.float64)


def _brow_weights(local: Values, side: int) -> Values:
    """1 on a brow; the forehead above follows far, the lids below hardly."""
    brow = local[list(points.BROWS[side])]
    order = np.argsort(brow[:, 0])
    x, y = local[:, 0], local[:, 1]
    line = np.interp(x, brow[order, 0], brow[order, 1])
    aside = np.maximum(np.maximum(brow[:, 0].min() - x, x - brow[:, 0].max()), 0)
    up, down = np.maximum(line - y, 0), np.maximum(y - line, 0)
    far = np.exp(-((up / 0.22) ** 2) - (down / 0.07) ** 2 - (aside / 0.08) ** 2)
    return np.asarray(far, np.float64)


def _rim(left: int, top: int, right: int, bottom: int) -> Values:
    """Points along the edge of a box."""
    t = np.linspace(0, 1, 7)[:-1]
    x, y = left + t * (right - left), top + t * (bottom - top)
    sides = [
        np.stack([x, np.full(6, top)], 1),
        np.stack([np.full(6, right), y], 1),
        np.stack([right - (x - left), np.full(6, bottom)], 1),
        np.stack([np.full(6, left), bottom - (y - top)], 1),
    ]
    return np.asarray(np.vstack(sides), np.float64)


def _blend(below: Rgba, above: Rgba, mask: NDArray[np.uint8]) -> Rgba:
    x, y, width, height = cv2.boundingRect(mask)
    part = np.s_[y : y + height, x : x + width]
    share = mask[part][..., None].astype(np.float32) / 255
    below[part] = np.rint(below[part] + share * (above[part].astype(np.float32) - below[part]))
    return below
