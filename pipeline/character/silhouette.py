"""Joints from a silhouette alone, for figures in which no detector of people sees one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character.medial import Branch, branches
from pipeline.character.skeleton import Floats
from pipeline.perception.tracks import JOINTS, Joint

Plane = NDArray[np.float64]

#: The longer side of the grid on which paths are found, and the fewest pixels that can have limbs.
_GRID, _FEWEST = 220, 400
#: A limb is at least so many times longer than thick, and than the figure is high; a head may be blunter.
_SLENDER, _LONG, _HEADED = 0.75, 0.11, 0.3
#: Of a pair of limbs neither is longer than this many times the other.
_UNEVEN = 2.4
#: The limbs that may be left over when head, arms and legs are found: a tail, a feather.
_SPARE = 2
#: Head, two legs and an arm.
_FEWEST_BRANCHES = 4
#: A limb's root lies inside the trunk, at so much of the trunk's half thickness from its middle.
_INWARD = 0.75
#: Behind the head's widest place, what is so much narrower is the neck.
_NARROWED = 0.97
#: Where along a limb, from its root to its tip, its joints are.
_ELBOW, _WRIST, _KNUCKLES = 0.46, 0.82, 0.93
_KNEE, _ANKLE = 0.54, 0.86
#: A foot begins where the leg's path turns, if it turns by so much of its length, between these places.
_TURN, _FOOT = 0.04, (0.62, 0.93)
#: Places in the face: towards the figure's left and up, in half widths of the head.
_FACE: tuple[tuple[int, float, float], ...] = (
    (0, 0.0, -0.05),
    *((joint, 0.3, 0.15) for joint in (1, 2, 3)),
    *((joint, -0.3, 0.15) for joint in (4, 5, 6)),
    (Joint.LEFT_EAR, 0.8, 0.0),
    (Joint.RIGHT_EAR, -0.8, 0.0),
    (Joint.MOUTH_LEFT, 0.25, -0.4),
    (Joint.MOUTH_RIGHT, -0.25, -0.4),
)


def joints_of_silhouette(alpha: Floats) -> Floats | None:
    """float32 (33, 4) joints of the upright figure that ``alpha`` (H, W) cuts out, or None if it is none.

    A figure has a head above, a limb to each side of it (one may be missing) and two legs below. It
    faces the viewer; what is missing has visibility 0.
    """
    scale = min(1.0, _GRID / max(alpha.shape))
    size = max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale))
    small = np.pad(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA) > 0.5, 1)
    if small.sum() < _FEWEST:
        return None
    figure = _figure(branches(np.asarray(small, np.bool_)))
    if figure is None:
        return None
    joints = _joints(figure)
    joints[:, :2] = (joints[:, :2] - 0.5) / scale - 0.5
    return joints


@dataclass(frozen=True, slots=True)
class _Figure:
    """The branches of a body; of each pair the figure's left first, at the right of the picture."""

    head: Branch
    arms: tuple[Branch | None, Branch | None]
    legs: tuple[Branch, Branch]

    def root(self, branch: Branch) -> tuple[int, float]:
        """Where ``branch`` leaves the others: a place on its path, and the body's half thickness there."""
        every = (self.head, *self.arms, *self.legs)
        place = max(branch.shared(other) for other in every if other is not None and other is not branch)
        return place, float(branch.depth[place])


def _figure(found: list[Branch]) -> _Figure | None:
    """Which branch is what; None where they are not those of a figure."""
    if len(found) < _FEWEST_BRANCHES:
        return None
    middle = found[0].path[0]
    least = _LONG * (max(b.tip[1] for b in found) - min(b.tip[1] for b in found))
    slender = [branch for branch in found if branch.length > max(least, _SLENDER * branch.thickness)]
    low = sorted((b for b in slender if b.tip[1] > middle[1]), key=lambda b: -float(b.tip[1]))[:2]
    legs = sorted(low, key=lambda b: -float(b.tip[0]))
    if not _paired(legs):
        return None
    waist = (middle[1] + min(leg.tip[1] for leg in legs)) / 2
    rest = [branch for branch in found if branch not in legs and branch.tip[1] < waist]
    heads = [b for b in rest if b.length > _HEADED * b.thickness and middle[1] - b.tip[1] > abs(_aside(b))]
    if not heads:
        return None
    head = max(heads, key=_headlike)
    arms = [b for b in rest if b in slender and b is not head]
    left = max((b for b in arms if _aside(b) > 0), key=lambda b: b.length, default=None)
    right = max((b for b in arms if _aside(b) < 0), key=lambda b: b.length, default=None)
    pair = [arm for arm in (left, right) if arm is not None]
    if not pair or (len(pair) > 1 and not _paired(pair)):
        return None
    spare = [b for b in slender if b not in (head, *pair, *legs)]
    return _Figure(head, (left, right), (legs[0], legs[1])) if len(spare) <= _SPARE else None


def _headlike(branch: Branch) -> float:
    """Large for what is wide, straight above and no spur: a head, and not a raised arm or a lock of hair."""
    up = float(branch.path[0, 1] - branch.tip[1])
    upright = up**2 / max(up**2 + _aside(branch) ** 2, 1e-6)
    return float(branch.depth[len(branch.depth) // 2 :].max()) * branch.length * upright


def _aside(branch: Branch) -> float:
    """How far the tip is to the right of the figure's middle."""
    return float(branch.tip[0] - branch.path[0, 0])


def _paired(limbs: list[Branch]) -> bool:
    """Two limbs of about one length."""
    lengths = [limb.length for limb in limbs]
    return len(limbs) > 1 and max(lengths) < _UNEVEN * min(lengths)


def _joints(figure: _Figure) -> Floats:
    joints = np.zeros((JOINTS, 4), np.float32)

    def put(joint: int, place: Plane) -> None:
        joints[joint] = (*place, 0.0, 1.0)

    center, radius, up = _head(figure)
    for joint, aside, high in _FACE:
        put(joint, center + radius * (aside * np.array([-up[1], up[0]]) + high * up))
    for side, arm in enumerate(figure.arms):
        if arm is None:
            continue
        root, elbow, wrist, knuckles = _along(figure, arm, (0.0, _ELBOW, _WRIST, _KNUCKLES))
        put(Joint.LEFT_SHOULDER + side, root)
        put(Joint.LEFT_ELBOW + side, elbow)
        put(Joint.LEFT_WRIST + side, wrist)
        for finger in (Joint.LEFT_PINKY, Joint.LEFT_INDEX, Joint.LEFT_THUMB):
            put(finger + side, knuckles)
    for side, leg in enumerate(figure.legs):
        heel = _heel(figure, leg)
        root, knee, ankle, toe = _along(figure, leg, (0.0, _KNEE * heel, heel, 1.0))
        for joint, place in (
            (Joint.LEFT_HIP, root),
            (Joint.LEFT_KNEE, knee),
            (Joint.LEFT_ANKLE, ankle),
            (Joint.LEFT_HEEL, ankle),
            (Joint.LEFT_FOOT, toe),
        ):
            put(joint + side, place)
    return _with_both_shoulders(joints)


def _with_both_shoulders(joints: Floats) -> Floats:
    """A missing arm's shoulder is the other's, mirrored at the line from the hips to the head."""
    for here, there in (
        (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER),
        (Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER),
    ):
        if joints[here, 3] > 0:
            continue
        low = joints[[Joint.LEFT_HIP, Joint.RIGHT_HIP], :2].mean(axis=0)
        line = joints[[Joint.LEFT_EAR, Joint.RIGHT_EAR], :2].mean(axis=0) - low
        line /= max(1e-6, float(np.linalg.norm(line)))
        offset = joints[there, :2] - low
        joints[here, :2] = low + 2 * (offset @ line) * line - offset
        joints[here, 3] = 1
    return joints


def _along(figure: _Figure, limb: Branch, shares: tuple[float, ...]) -> list[Plane]:
    """Places at ``shares`` of the way from where a limb leaves the trunk to its tip."""
    start, thick = figure.root(limb)
    out = np.linalg.norm(limb.path - limb.path[start], axis=1) > _INWARD * thick
    out[: start + 1] = False
    first = int(np.argmax(out)) if out.any() else start
    path = limb.path[first:]
    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return [
        np.array([np.interp(share * gone[-1], gone, path[:, axis]) for axis in (0, 1)]) for share in shares
    ]


def _heel(figure: _Figure, leg: Branch) -> float:
    """The place of the ankle along ``leg``, as a share: where its path turns into the foot."""
    shares = np.linspace(0, 1, 65)
    path = np.array(_along(figure, leg, tuple(shares)))
    way = path[-1] - path[0]
    length = max(1e-6, float(np.linalg.norm(way)))
    off = np.abs((path - path[0]) @ np.array([-way[1], way[0]])) / length**2
    off[(shares < _FOOT[0]) | (shares > _FOOT[1])] = 0
    return float(shares[np.argmax(off)]) if off.max() > _TURN else _ANKLE


def _head(figure: _Figure) -> tuple[Plane, float, Plane]:
    """The head's middle, its half width, and which way is up."""
    branch = figure.head
    start, _ = figure.root(branch)
    # From the crown inwards the head widens, until the neck narrows it.
    place, half = len(branch.path) - 1, 0.0
    for i in range(len(branch.path) - 1, start, -1):
        if branch.depth[i] > half:
            place, half = i, float(branch.depth[i])
        elif branch.depth[i] < _NARROWED * half - 1:
            break
    else:  # no neck: the upper half of what stands out
        place = (start + len(branch.path)) // 2
    up = branch.tip - branch.path[start]
    radius = max(float(branch.depth[place]), 1.0)
    return branch.path[place], radius, np.asarray(up / max(1e-6, float(np.linalg.norm(up))), np.float64)
