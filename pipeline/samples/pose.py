"""A body, a dance, and where every joint is at every moment: the truth of the samples.

Lengths are in body heights, x to the viewer's right, y up from the floor, z towards the viewer.
Left and right are the person's own; the person faces the viewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Point = NDArray[np.float64]

#: The joints in the order of the pose detector the farm uses.
JOINTS = (
    *(
        "nose",
        "left_eye_inner",
        "left_eye",
        "left_eye_outer",
        "right_eye_inner",
        "right_eye",
        "right_eye_outer",
    ),
    *("left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky"),
    *("left_index", "right_index", "left_thumb", "right_thumb", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel"),
    *("left_foot_index", "right_foot_index"),
)

BEATS_PER_SECOND = 2.0


@dataclass(frozen=True, slots=True)
class Body:
    """Proportions."""

    shoulder: float = 0.098  # half the width
    hip: float = 0.052
    hip_height: float = 0.505
    torso: float = 0.292  # hips to shoulders
    neck: float = 0.052
    head: float = 0.084  # half the head's height
    upper_arm: float = 0.148
    forearm: float = 0.132
    hand: float = 0.057
    thigh: float = 0.236
    shin: float = 0.232
    ankle: float = 0.042
    foot: float = 0.085


@dataclass(frozen=True, slots=True)
class Move:
    """One moment of a dance. Angles in degrees, lengths in body heights.

    An arm's first angle is 0 hanging, 90 straight out, 180 straight up; the second bends the elbow,
    upwards where it is positive.
    """

    x: float = 0.0  # where the hips are
    dip: float = 0.0  # how far they sink
    hips: float = 0.0  # tilt, positive lifts the left side
    lean: float = 0.0  # of the torso, positive to the viewer's right
    shoulders: float = 0.0
    head: float = 0.0
    left_arm: float = 20.0
    left_elbow: float = 10.0
    right_arm: float = 20.0
    right_elbow: float = 10.0
    left_foot: float = 0.075
    left_lift: float = 0.0
    right_foot: float = -0.075
    right_lift: float = 0.0

    def mirrored(self) -> Move:
        return Move(
            **{"x": -self.x, "dip": self.dip, "hips": -self.hips, "lean": -self.lean},
            **{"shoulders": -self.shoulders, "head": -self.head},
            **{"left_arm": self.right_arm, "left_elbow": self.right_elbow},
            **{"right_arm": self.left_arm, "right_elbow": self.left_elbow},
            **{"left_foot": -self.right_foot, "left_lift": self.right_lift},
            **{"right_foot": -self.left_foot, "right_lift": self.left_lift},
        )


def _choreography() -> tuple[Move, ...]:
    """Twelve beats that lead back to the first: steps aside, a sway with raised arms, points, kicks."""
    ready = Move(left_arm=48, left_elbow=88, right_arm=48, right_elbow=88, dip=0.012)
    step = Move(
        **{"x": -0.085, "hips": -5, "lean": 5, "shoulders": 7, "head": -9, "dip": 0.01},
        **{"right_arm": 62, "right_elbow": -78, "left_arm": 148, "left_elbow": 16},
        **{"right_foot": -0.185, "left_foot": 0.01},
    )
    sway = Move(
        **{"x": -0.05, "hips": 7, "lean": 7, "shoulders": -6, "head": 8, "dip": 0.015},
        **{"left_arm": 136, "left_elbow": 28, "right_arm": 164, "right_elbow": -14},
        **{"left_foot": 0.12, "right_foot": -0.12},
    )
    goal = Move(
        **{"left_arm": 86, "left_elbow": 88, "right_arm": 86, "right_elbow": 88, "dip": 0.05},
        **{"left_foot": 0.14, "right_foot": -0.14},
    )
    point = Move(
        **{"x": 0.035, "hips": -6, "lean": -7, "shoulders": -8, "head": -10, "dip": 0.02},
        **{"right_arm": 146, "right_elbow": 4, "left_arm": 38, "left_elbow": -6},
        **{"left_foot": 0.12, "right_foot": -0.12},
    )
    kick = Move(
        **{"x": -0.045, "hips": 6, "lean": -3, "shoulders": 5, "head": 7},
        **{"left_arm": 34, "left_elbow": 96, "right_arm": 88, "right_elbow": 62},
        **{"left_foot": 0.085, "left_lift": 0.13, "right_foot": -0.06},
    )
    rest = replace(ready, dip=0.03, left_arm=60, right_arm=60)
    return (
        *(ready, step, rest, step.mirrored()),
        *(sway, sway.mirrored(), sway, goal),
        *(point, point.mirrored(), kick, kick.mirrored()),
    )


def dance(second: float) -> Move:
    """The dance at a moment; it repeats every six seconds."""
    moves = _choreography()
    beat = second * BEATS_PER_SECOND
    values = {name: _between(moves, name, beat - delay) for name, delay in _DELAYS.items()}
    bounce = 0.011 * (1 + np.cos(2 * np.pi * beat))  # down on the beat
    values["dip"] += float(bounce)
    for side in ("left", "right"):
        values[f"{side}_lift"] += _step(moves, f"{side}_foot", beat)
    return Move(**values)


#: Beats by which a part follows the hips: what makes a dance look loose.
_DELAYS: Mapping[str, float] = {
    **{"x": 0, "dip": 0, "hips": 0, "lean": 0.04, "shoulders": 0.05, "head": 0.1},
    **{"left_arm": 0.04, "left_elbow": 0.12, "right_arm": 0.04, "right_elbow": 0.12},
    **{"left_foot": 0, "left_lift": 0, "right_foot": 0, "right_lift": 0},
}


def _between(moves: tuple[Move, ...], name: str, beat: float) -> float:
    """A smooth curve through the keys that slows down on each of them."""
    key = int(np.floor(beat))
    part = beat - key
    before, start, stop, after = (float(getattr(moves[(key + i) % len(moves)], name)) for i in (-1, 0, 1, 2))
    if name.endswith(("_foot", "_lift")):  # planted feet do not drift past their mark
        return start + (stop - start) * _ease(np.clip((part - 0.35) / 0.65, 0, 1))
    part = 0.35 * part + 0.65 * _ease(part)
    pull, push = (stop - before) / 2 * 0.6, (after - start) / 2 * 0.6
    square, cube = part * part, part**3
    return float(
        (2 * cube - 3 * square + 1) * start
        + (cube - 2 * square + part) * pull
        + (3 * square - 2 * cube) * stop
        + (cube - square) * push
    )


def _ease(part: float) -> float:
    return float(part * part * (3 - 2 * part))


def _step(moves: tuple[Move, ...], name: str, beat: float) -> float:
    """How high a foot is lifted on its way to another place."""
    key = int(np.floor(beat))
    way = getattr(moves[(key + 1) % len(moves)], name) - getattr(moves[key % len(moves)], name)
    part = np.clip((beat - key - 0.35) / 0.65, 0, 1)
    return float(min(abs(way), 0.1) * 0.4 * np.sin(np.pi * part))


def stand() -> Move:
    """Standing with the arms a little away from the body, as pictures of characters do."""
    return Move(left_arm=36, left_elbow=6, right_arm=36, right_elbow=6, head=0)


def skeleton(body: Body, move: Move) -> dict[str, Point]:
    """Every joint as (x, y, z), and ``head``, ``neck`` and ``crown`` besides."""
    joints: dict[str, Point] = {}
    hips = np.array([move.x, _hip_height(body, move), 0.0])
    across = _turned(move.hips)
    spine = _turned(90 - move.lean)
    chest = hips + spine * body.torso
    beam = _turned(move.shoulders - move.lean * 0.5)
    joints["neck"] = chest + spine * body.neck * 0.35
    up = _turned(90 - move.head - move.lean * 0.3)
    joints["head"] = joints["neck"] + up * (body.neck * 0.65 + body.head * 0.92)
    joints["crown"] = joints["head"] + up * body.head
    for side, sign in (("left", 1.0), ("right", -1.0)):
        joints[f"{side}_hip"] = hips + across * sign * body.hip
        joints[f"{side}_shoulder"] = chest + beam * sign * body.shoulder
        _leg(joints, body, move, side, sign)
        _arm(joints, body, move, side, sign)
    _face(joints, body, up)
    return joints


def _hip_height(body: Body, move: Move) -> float:
    """As high as asked, as low as the legs need to reach both feet."""
    reach = (body.thigh + body.shin) * 0.995
    height = body.hip_height - 0.008 - move.dip
    for sign, foot, lift in ((1, move.left_foot, move.left_lift), (-1, move.right_foot, move.right_lift)):
        aside = move.x + sign * body.hip - foot
        limit = np.sqrt(max(reach**2 - aside**2, 0.0)) + body.ankle + lift
        height = min(height, float(limit) - abs(np.sin(np.radians(move.hips))) * body.hip)
    return height


def _leg(joints: dict[str, Point], body: Body, move: Move, side: str, sign: float) -> None:
    lift = getattr(move, f"{side}_lift")
    hip = joints[f"{side}_hip"]
    ankle = np.array([getattr(move, f"{side}_foot"), body.ankle + lift, lift * 0.2])
    way = ankle - hip
    length = min(float(np.linalg.norm(way)), (body.thigh + body.shin) * 0.999)
    along = (length**2 + body.thigh**2 - body.shin**2) / (2 * length)
    off = np.sqrt(max(body.thigh**2 - along**2, 0.0))
    # Knees bend forwards, and a little outwards.
    outward = np.array([sign * 0.2, 0.0, 0.97])
    joints[f"{side}_knee"] = hip + way / np.linalg.norm(way) * along + outward * off
    joints[f"{side}_ankle"] = ankle
    joints[f"{side}_heel"] = ankle + np.array([-sign * 0.008, -body.ankle * 0.65, -0.02])
    splay = np.array([sign * 0.4, -0.24, 0.85]) * body.foot
    joints[f"{side}_foot_index"] = ankle + np.array([0.0, -body.ankle * 0.45, 0.0]) + splay


def _arm(joints: dict[str, Point], body: Body, move: Move, side: str, sign: float) -> None:
    upper, bend = getattr(move, f"{side}_arm"), getattr(move, f"{side}_elbow")
    flip = np.array([sign, 1.0, 1.0])
    elbow = joints[f"{side}_shoulder"] + _turned(upper - 90) * flip * body.upper_arm
    fore = _turned(upper + bend - 90) * flip
    wrist = elbow + fore * body.forearm
    thumbwards = np.array([-fore[1], fore[0], 0.0]) * sign
    joints |= {f"{side}_elbow": elbow, f"{side}_wrist": wrist}
    joints[f"{side}_index"] = wrist + fore * body.hand + thumbwards * body.hand * 0.2
    joints[f"{side}_pinky"] = wrist + fore * body.hand * 0.9 - thumbwards * body.hand * 0.3
    joints[f"{side}_thumb"] = wrist + fore * body.hand * 0.45 + thumbwards * body.hand * 0.55


#: Places in the face as (towards the person's left, up), in half heights of the head.
FACE: Mapping[str, tuple[float, float]] = {
    **{
        "nose": (0.0, -0.14),
        "left_eye_inner": (0.17, 0.1),
        "left_eye": (0.31, 0.1),
        "left_eye_outer": (0.45, 0.1),
    },
    **{"right_eye_inner": (-0.17, 0.1), "right_eye": (-0.31, 0.1), "right_eye_outer": (-0.45, 0.1)},
    **{"left_ear": (0.8, -0.02), "right_ear": (-0.8, -0.02)},
    **{"mouth_left": (0.24, -0.46), "mouth_right": (-0.24, -0.46)},
}


def _face(joints: dict[str, Point], body: Body, up: Point) -> None:
    left = np.array([up[1], -up[0], 0.0])
    for name, (aside, height) in FACE.items():
        joints[name] = joints["head"] + (left * aside + up * height) * body.head


def _turned(degrees: float) -> Point:
    """The unit vector at an angle from the x axis."""
    angle = np.radians(degrees)
    return np.array([np.cos(angle), np.sin(angle), 0.0])
