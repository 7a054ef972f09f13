"""Skinning: how the points of a layer follow the bones.

Around a joint, points turn about the joint by a blended angle and keep a blended distance from it.
Blending the bones' matrices instead would thin the joint as it bends (the candy wrapper).
Points of the plane are complex numbers here: turning is multiplying.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.character.skeleton import ARM, LEG, SIDE, Point
from pipeline.engines.puppet.acting import Expression
from pipeline.engines.puppet.signals import Values

Plane = NDArray[np.complex128]
#: From the picture's plane to the frame's.
Way = Callable[[Plane], Plane]


#: A joint's bend ends between this and one more of its reaches away.
_BEND = 1.2
#: The place of a limb's last bone, hand or foot, in its chain.
_HAND = 2
#: By what share of their length the fingers of a closed hand are drawn in.
_DRAWN_IN = 0.55


@dataclass(frozen=True, slots=True)
class Pose:
    """One frame of a performance, as complex numbers."""

    points: Plane
    scale: float
    head: float
    chest: float
    hips: float
    width: float
    #: The face's turn to the right and down, -1 to 1; 0 for a head that only tilts.
    turn: complex = 0j
    #: How far the left and the right hand are open: 0 draws the fingers in as far as that goes.
    opening: tuple[float, float] = (1.0, 1.0)
    #: None for a face that stays as it is in its picture.
    face: Expression | None = None


def plane(points: NDArray[np.float64] | NDArray[np.float32]) -> Plane:
    """(..., 2) to complex (...)."""
    return np.asarray(points[..., 0] + 1j * points[..., 1], np.complex128)


def bone_way(rest: Plane, pose: Pose, start: int, stop: int) -> Way:
    """A bone's own map: turned, along itself stretched as the pose says, across by the scale alone."""
    own, now = rest[stop] - rest[start], pose.points[stop] - pose.points[start]
    length = max(abs(own), 1e-6)
    unit, turned = own / length, now / max(abs(now), 1e-6)
    stretch = abs(now) / length

    def way(at: Plane) -> Plane:
        local = (at - rest[start]) * np.conj(unit)
        return np.asarray(pose.points[start] + turned * (stretch * local.real + 1j * pose.scale * local.imag))

    return way


def trunk_way(rest: Plane, pose: Pose) -> Way:
    """The trunk: a spine between hips and shoulders, each turned and narrowed on its own."""
    low, high = rest[Point.PELVIS], rest[Point.NECK]
    new_low, new_high = pose.points[Point.PELVIS], pose.points[Point.NECK]
    length = max(abs(high - low), 1e-6)
    along = (high - low) / length
    hips, chest = np.exp(1j * pose.hips), np.exp(1j * pose.chest)

    def way(at: Plane) -> Plane:
        local = (at - low) * np.conj(along)
        t = local.real / length
        share = np.clip(t, 0, 1)
        share = share * share * (3 - 2 * share)
        angle = pose.hips + share * (pose.chest - pose.hips)
        across = 1j * local.imag * pose.scale * pose.width * along * np.exp(1j * angle)
        inner = new_low + np.clip(t, 0, 1) * (new_high - new_low)
        # Beyond the spine's ends the trunk goes on straight.
        beyond = np.minimum(t, 0) * hips + np.maximum(t - 1, 0) * chest
        return np.asarray(inner + across + pose.scale * length * along * beyond)

    return way


def head_way(rest: Plane, pose: Pose, radius: float) -> Way:
    """The head: turned and scaled; and the face, being nearer, shifted over what lies around it."""
    tilt = pose.scale * np.exp(1j * pose.head)

    def way(at: Plane) -> Plane:
        local = at - rest[Point.HEAD]
        # How near a point is: a face bulges like a sphere. At most 0.62 of its slope, so nothing folds.
        near = np.maximum(1 - np.abs(local / radius) ** 2, 0) ** 2
        shifted = local + 0.4 * radius * pose.turn * near
        return np.asarray(pose.points[Point.HEAD] + tilt * shifted)

    return way


def blended(before: Plane, after: Plane, joint: complex, turn: float, weights: Values) -> Plane:
    """Points between two maps of a joint: angle and distance about it blended by ``weights``."""
    a, b = before - joint, after - joint
    far = (1 - weights) * np.abs(a) + weights * np.abs(b)
    angle = np.angle(b * np.conj(a))
    # Of the equal angles, the one nearest to the joint's own: so that no point turns the other way round.
    angle = angle + 2 * np.pi * np.round((turn - angle) / (2 * np.pi))
    unit = a / np.maximum(np.abs(a), 1e-9)
    return np.asarray(joint + far * unit * np.exp(1j * weights * angle))


class Skin:
    """The points of one layer, bound to the bones it follows."""

    def __init__(
        self, name: str, at: Plane, rest: Plane, unit: float, face: float, *, stump: bool = False
    ) -> None:
        self.face = face
        self.name, self.at, self.rest, self.unit = name, at, rest, unit
        # Of an arm that its picture cuts off only one bone is known: what is left of it stays stiff.
        self.chain = _chain(name)[:2] if stump else _chain(name)
        reach = (
            0.16 * unit if self.chain and self.chain[0] in (*ARM, *(p + SIDE for p in ARM)) else 0.2 * unit
        )
        own = 0 if name.endswith(("upper_arm", "thigh")) else 1
        self.reach, self.bone = reach, self.chain[min(own, len(self.chain) - 2) :][:2] if self.chain else ()
        self.weights = [_weights(at, rest, self.chain, i, own, reach) for i in range(len(self.chain) - 1)]
        head, neck = rest[Point.HEAD], rest[Point.NECK]
        up = (head - neck) / max(abs(head - neck), 1e-6)
        raised = ((at - neck) * np.conj(up)).real / max(abs(head - neck), 1e-6)
        self.neck = _ease(np.clip((raised - 0.05) / 0.6, 0, 1))

    @property
    def near_joint(self) -> NDArray[np.bool_]:
        """Which points lie so near to the elbow or knee that both of its layers bend there alike."""
        return np.asarray(np.abs(self.at - self.rest[self.chain[1]]) < _BEND * self.reach, np.bool_)

    @property
    def from_bones(self) -> Values:
        """How far each point is from the limb's bones."""
        ways = [_from_bone(self.at, self.rest[a], self.rest[b]) for a, b in itertools.pairwise(self.chain)]
        return np.asarray(np.min(ways, axis=0), np.float64)

    @property
    def bone_axis(self) -> complex:
        """The direction of the layer's own bone, of length 1."""
        way = self.rest[self.bone[1]] - self.rest[self.bone[0]]
        return complex(way / max(abs(way), 1e-6))

    def stretch(self, pose: Pose) -> float:
        """Pixels of the frame to one of the picture along the layer's own bone."""
        a, b = self.bone
        own = max(abs(self.rest[b] - self.rest[a]), 1e-6)
        return float(abs(pose.points[b] - pose.points[a]) / own)

    def way(self, pose: Pose, other: Pose) -> float:
        """How far the point of the layer's bones that moves most is between two poses, in pixels."""
        points = list(self.chain) or [Point.HEAD, Point.NECK, Point.PELVIS]
        return float(np.abs(other.points[points] - pose.points[points]).max())

    def places(self, pose: Pose) -> Plane:
        """Where the layer's points are in ``pose``."""
        trunk = trunk_way(self.rest, pose)
        if self.name == "torso":
            return trunk(self.at)
        if self.name == "head":
            below, above = trunk(self.at), head_way(self.rest, pose, self.face)(self.at)
            return np.asarray((1 - self.neck) * below + self.neck * above)
        here = trunk(self.at)
        turn = pose.chest if self.chain[0] in (ARM[0], ARM[0] + SIDE) else pose.hips
        for i, start in enumerate(self.chain[:-1]):
            stop = self.chain[i + 1]
            way = bone_way(self.rest, pose, start, stop)
            at = self.at if i < _HAND else self._closed(pose)
            own = np.angle(self.rest[stop] - self.rest[start])
            bone = float(np.angle(pose.points[stop] - pose.points[start]) - own)
            delta = float((bone - turn + np.pi) % (2 * np.pi) - np.pi)
            here = blended(here, way(at), complex(pose.points[start]), delta, self.weights[i])
            turn = turn + delta
        return here

    def _closed(self, pose: Pose) -> Plane:
        """The points with the fingers drawn in towards the knuckles, as far as the hand is closed."""
        opening = pose.opening[0 if self.name.startswith("left") else 1]
        if opening >= 1 or self.chain[0] not in (ARM[0], ARM[0] + SIDE):
            return self.at
        wrist, knuckles = self.rest[self.chain[_HAND]], self.rest[self.chain[_HAND + 1]]
        length = max(abs(knuckles - wrist), 1e-6)
        unit = (knuckles - wrist) / length
        beyond = np.maximum(((self.at - wrist) * np.conj(unit)).real - length, 0)
        return np.asarray(self.at - unit * beyond * (1 - opening) * _DRAWN_IN, np.complex128)


def _chain(name: str) -> tuple[int, ...]:
    """The points that a limb's layers hang on, from the trunk outwards."""
    if name in ("torso", "head"):
        return ()
    side = 0 if name.startswith("left") else SIDE
    limb = ARM if name.endswith("arm") else LEG
    return tuple(int(point) + side for point in limb)


def _weights(at: Plane, rest: Plane, chain: tuple[int, ...], i: int, own: int, reach: float) -> Values:
    """1 for points past the joint ``chain[i]`` along the limb, easing in over ``reach`` around it.

    ``own`` is the bone (its place in the chain) that the layer is the skin of. Farther from the joint
    than the bend reaches, a point is the layer's own bone's alone, however the limb is folded.
    """
    joint, after = rest[chain[i]], rest[chain[i + 1]]
    if i == 0:
        # A shoulder or hip sits deep in the trunk: the limb begins right behind it.
        out = (after - joint) / max(abs(after - joint), 1e-6)
        weights = _ease(np.clip(0.6 + 0.8 * ((at - joint) * np.conj(out)).real / reach, 0, 1))
    else:
        before = rest[chain[i - 1]]
        nearer = _from_bone(at, before, joint) - _from_bone(at, joint, after)
        weights = _ease(np.clip(0.5 + 0.5 * nearer / reach, 0, 1))
    if i == 2 and own == 1:
        return weights  # a hand or foot has no layer of its own
    away = _ease(np.clip(np.abs(at - joint) / reach - _BEND, 0, 1))
    return np.asarray((1 - away) * weights + away * float(i <= own), np.float64)


def _from_bone(at: Plane, a: complex, b: complex) -> Values:
    t = np.clip(((at - a) * np.conj(b - a)).real / max(abs(b - a) ** 2, 1e-9), 0, 1)
    return np.asarray(np.abs(at - (a + t * (b - a))), np.float64)


def _ease(t: Values) -> Values:
    return np.asarray(t * t * (3 - 2 * t), np.float64)
