"""What two bodies in one frame are to each other: sizes, who is nearer, whether they are the same."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.tracks import BONES, Joint

Floats = NDArray[np.float32]

_FEET = [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]
_TRUNK = [Joint.NOSE, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.LEFT_HIP, Joint.RIGHT_HIP]


def size_of(joints: Floats) -> float:
    """Pixels from the middle of the shoulders to the middle of the hips, or the shoulders' width."""
    shoulders = joints[[Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER], :2]
    hips = joints[[Joint.LEFT_HIP, Joint.RIGHT_HIP], :2]
    torso = np.linalg.norm(shoulders.mean(axis=0) - hips.mean(axis=0))
    return float(max(torso, np.linalg.norm(shoulders[0] - shoulders[1])))


def in_front(one: Floats, other: Floats) -> float:
    """How far ``one`` stands in front of ``other`` (both (33, 4)); negative where behind.

    On a common ground the nearer one's feet are lower in the picture; where feet are not seen, the
    larger body is taken to be nearer. In bodies' sizes, roughly.
    """
    sizes = max(1.0, size_of(one)), max(1.0, size_of(other))
    if min(one[_FEET, 3].min(), other[_FEET, 3].min()) > 0.5:
        lower = float(one[_FEET, 1].max() - other[_FEET, 1].max())
        return 2 * lower / (sizes[0] + sizes[1])
    return 2 * math.log(sizes[0] / sizes[1])


def apart(one: Floats, other: Floats) -> float:
    """The mean distance of two bodies' trunks, in bodies' sizes."""
    distance = np.linalg.norm(one[_TRUNK, :2] - other[_TRUNK, :2], axis=1).mean()
    return float(distance / max(1.0, (size_of(one) + size_of(other)) / 2))


def box_of(joints: Floats, air: float = 0.35) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a body, with ``air`` times its size around its joints."""
    edge = air * size_of(joints)
    low, high = joints[:, :2].min(axis=0) - edge, joints[:, :2].max(axis=0) + edge
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def outline(joints: Floats, shape: tuple[int, ...], thickness: float = 0.3) -> NDArray[np.uint8]:
    """uint8 (H, W), 255 where a body is by its joints alone: round limbs, a trunk, a head.

    ``thickness`` of the limbs is in body's sizes.
    """
    canvas = np.zeros(shape, np.uint8)
    size = size_of(joints)
    at = np.clip(np.rint(joints[:, :2]), -1e4, 1e4).astype(np.int32)
    wide = max(1, round(thickness * size))
    for a, b in BONES:
        cv2.line(canvas, at[a].tolist(), at[b].tolist(), [255], wide)
    trunk = at[[Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.RIGHT_HIP, Joint.LEFT_HIP]]
    cv2.fillConvexPoly(canvas, cv2.convexHull(trunk), [255])
    cv2.circle(canvas, at[Joint.NOSE].tolist(), max(1, round((0.15 + thickness) * size)), [255], -1)
    return canvas
