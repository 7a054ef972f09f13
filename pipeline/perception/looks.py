"""How people look: the colours of their clothes, by which they are known again."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.tracks import Joint

Floats = NDArray[np.float32]

#: Places on a body, as a mean of joints: the trunk's quarters, the middles of the limbs.
_SHOULDERS, _HIPS = (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER), (Joint.LEFT_HIP, Joint.RIGHT_HIP)
_LIMBS = (
    *((Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW), (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW)),
    *((Joint.LEFT_ELBOW, Joint.LEFT_WRIST), (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST)),
    *((Joint.LEFT_HIP, Joint.LEFT_KNEE), (Joint.RIGHT_HIP, Joint.RIGHT_KNEE)),
    *((Joint.LEFT_KNEE, Joint.LEFT_ANKLE), (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE)),
)
#: Light changes more than colour does as somebody moves.
_WEIGHTS = np.array([0.5, 1, 1], np.float32)
PLACES = 4 + len(_LIMBS)


def look_of(rgb: NDArray[np.uint8], mask: Floats, joints: Floats) -> Floats:
    """float32 (12, 4): CIELAB (0-255 each) at places of a body, and how surely each was seen, 0-1."""
    height, width = mask.shape
    at, sure = _places(joints)
    x, y = np.rint(at).astype(int).T
    inside = (x >= 2) & (y >= 2) & (x < width - 2) & (y < height - 2)
    look = np.zeros((PLACES, 4), np.float32)
    for place in np.flatnonzero(inside):
        around = np.s_[y[place] - 2 : y[place] + 3, x[place] - 2 : x[place] + 3]
        look[place, :3] = rgb[around].mean(axis=(0, 1))
        look[place, 3] = sure[place] * mask[y[place], x[place]]
    colors = cv2.cvtColor(look[None, :, :3] / 255, cv2.COLOR_RGB2LAB)[0] * (255 / 100, 1, 1)
    return np.asarray(np.hstack([colors, look[:, 3:]]), np.float32)


def _places(joints: Floats) -> tuple[Floats, Floats]:
    trunk = joints[[*_SHOULDERS, *_HIPS]]
    quarters = [
        (1 - down) * ((1 - aside) * trunk[0] + aside * trunk[1])
        + down * ((1 - aside) * trunk[2] + aside * trunk[3])
        for down in (0.25, 0.7)
        for aside in (0.3, 0.7)
    ]
    at = np.array([*quarters, *((joints[a] + joints[b]) / 2 for a, b in _LIMBS)], np.float32)
    return at[:, :2], at[:, 3]


def mean_look(looks: Floats) -> Floats:
    """The mean of looks (n, 12, 4), the sure ones counting most; how sure it is of each place."""
    weight = looks[..., 3:]
    total = weight.sum(axis=0)
    colors = (looks[..., :3] * weight).sum(axis=0) / np.maximum(total, 1e-6)
    return np.asarray(np.hstack([colors, total / max(1, len(looks))]), np.float32)


def unlike(one: Floats, other: Floats) -> Floats:
    """How different looks (..., 12, 4) are: the mean distance of colours at places seen in both, or inf."""
    weight = np.minimum(one[..., 3], other[..., 3])
    total = weight.sum(axis=-1)
    distance = np.linalg.norm((one[..., :3] - other[..., :3]) * _WEIGHTS, axis=-1)
    mean = (distance * weight).sum(axis=-1) / np.maximum(total, 1e-6)
    return np.asarray(np.where(total < 0.8, np.inf, mean), np.float32)
