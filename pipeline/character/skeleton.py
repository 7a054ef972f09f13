"""The points that a puppet hangs on: nineteen, made from the detector's thirty-three joints."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.tracks import Joint

Floats = NDArray[np.float32]


class Point(enum.IntEnum):
    """The points of a skeleton. LEFT is a facing person's left: to the right in the picture."""

    HEAD = 0  # the middle between the ears
    NECK = 1  # the middle between the shoulders
    PELVIS = 2  # the middle between the hips
    LEFT_SHOULDER = 3
    LEFT_ELBOW = 4
    LEFT_WRIST = 5
    LEFT_HAND = 6  # the knuckles
    LEFT_HIP = 7
    LEFT_KNEE = 8
    LEFT_ANKLE = 9
    LEFT_TOE = 10
    RIGHT_SHOULDER = 11
    RIGHT_ELBOW = 12
    RIGHT_WRIST = 13
    RIGHT_HAND = 14
    RIGHT_HIP = 15
    RIGHT_KNEE = 16
    RIGHT_ANKLE = 17
    RIGHT_TOE = 18


#: How far the right side's points are behind the left's.
SIDE = Point.RIGHT_SHOULDER - Point.LEFT_SHOULDER
ARM = (Point.LEFT_SHOULDER, Point.LEFT_ELBOW, Point.LEFT_WRIST, Point.LEFT_HAND)
LEG = (Point.LEFT_HIP, Point.LEFT_KNEE, Point.LEFT_ANKLE, Point.LEFT_TOE)

_MEANS: tuple[tuple[Point, Sequence[Joint]], ...] = (
    (Point.HEAD, (Joint.LEFT_EAR, Joint.RIGHT_EAR)),
    (Point.NECK, (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER)),
    (Point.PELVIS, (Joint.LEFT_HIP, Joint.RIGHT_HIP)),
    (Point.LEFT_SHOULDER, (Joint.LEFT_SHOULDER,)),
    (Point.LEFT_ELBOW, (Joint.LEFT_ELBOW,)),
    (Point.LEFT_WRIST, (Joint.LEFT_WRIST,)),
    (Point.LEFT_HAND, (Joint.LEFT_INDEX, Joint.LEFT_PINKY)),
    (Point.LEFT_HIP, (Joint.LEFT_HIP,)),
    (Point.LEFT_KNEE, (Joint.LEFT_KNEE,)),
    (Point.LEFT_ANKLE, (Joint.LEFT_ANKLE,)),
    (Point.LEFT_TOE, (Joint.LEFT_FOOT,)),
    (Point.RIGHT_SHOULDER, (Joint.RIGHT_SHOULDER,)),
    (Point.RIGHT_ELBOW, (Joint.RIGHT_ELBOW,)),
    (Point.RIGHT_WRIST, (Joint.RIGHT_WRIST,)),
    (Point.RIGHT_HAND, (Joint.RIGHT_INDEX, Joint.RIGHT_PINKY)),
    (Point.RIGHT_HIP, (Joint.RIGHT_HIP,)),
    (Point.RIGHT_KNEE, (Joint.RIGHT_KNEE,)),
    (Point.RIGHT_ANKLE, (Joint.RIGHT_ANKLE,)),
    (Point.RIGHT_TOE, (Joint.RIGHT_FOOT,)),
)


def points_of(joints: Floats) -> Floats:
    """(..., 33, 4) joints to (..., 19, 4) points; a mean's visibility is the lowest of its joints'."""
    points = np.empty((*joints.shape[:-2], len(Point), 4), np.float32)
    for point, sources in _MEANS:
        chosen = joints[..., list(sources), :]
        points[..., point, :3] = chosen[..., :3].mean(axis=-2)
        points[..., point, 3] = chosen[..., 3].min(axis=-1)
    return points


def facing(joints: Floats) -> Floats:
    """How far the left shoulder is to the right of the right one, in pixels: negative from behind."""
    return np.asarray(joints[..., Joint.LEFT_SHOULDER, 0] - joints[..., Joint.RIGHT_SHOULDER, 0], np.float32)


def body_unit(points: Floats) -> float:
    """A length in pixels that goes with the body's size: of shoulders and trunk, what tells more."""
    shoulders = float(np.linalg.norm(points[Point.LEFT_SHOULDER, :2] - points[Point.RIGHT_SHOULDER, :2]))
    trunk = float(np.linalg.norm(points[Point.NECK, :2] - points[Point.PELVIS, :2]))
    return max(shoulders, 0.55 * trunk, 4.0)
