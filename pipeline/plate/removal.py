"""What to take out of a frame: the person, and what moves with them.

Antlers, a cap, a held cup and the shadow on the wall are not in a person's matte; left where they
are they would float about without their owner.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]

#: Levels, of 255, by which a pixel differs from the plate when something is in front of it.
_DIFFERS = 16
#: Shares of the frame's shorter side: the rim around the matte, and how far what is worn may reach.
_RIM, _REACH = 1 / 60, 1 / 7
#: A matte's values up to this are a veil, not a person.
_SOLID = 10
#: How far from the matte, as a share of the shorter side, nothing of the person can be.
_FAR = 1 / 28
#: ``closeness`` above this is a person's, with a narrow rim.
COVERED = 210


def closeness(matte: Mask) -> Mask:
    """How near each pixel is to a person: uint8, 0 well away, above ``COVERED`` where they may be."""
    if matte.max(initial=0) <= _SOLID:
        return np.zeros_like(matte)
    away = cv2.distanceTransform(np.where(matte > _SOLID, np.uint8(0), np.uint8(255)), cv2.DIST_L2, 3)
    reach = max(2.0, _FAR * min(matte.shape))
    return np.asarray(
        cv2.convertScaleAbs(np.minimum(away, np.float32(reach)), alpha=-255 / reach, beta=255), np.uint8
    )


def removal(frame: Mask, plate: Mask, matte: Mask) -> Mask:
    """uint8 (h, w): how much of each pixel to replace; all three at the matte's size."""
    short = min(matte.shape)
    person = _grown(np.where(matte > _SOLID, np.uint8(255), np.uint8(0)), _RIM * short)
    other = np.where(cv2.absdiff(frame, plate).max(axis=2) > _DIFFERS, np.uint8(255), np.uint8(0))
    # Thin things (antlers, a cable) come in crumbs: those a few pixels apart are one.
    other = _grown(other, short / 90)
    within = _grown(person, _REACH * short)
    # What hangs together with the person, so that a screen flickering elsewhere stays as it is.
    _, labels = cv2.connectedComponents(cv2.bitwise_or(cv2.bitwise_and(other, within), person))
    belongs = np.zeros(int(labels.max()) + 1, np.uint8)
    belongs[np.unique(labels[person > 0])] = 255
    belongs[0] = 0
    return np.asarray(cv2.GaussianBlur(belongs[labels], (0, 0), max(1.0, short / 240)), np.uint8)


def _grown(mask: Mask, pixels: float) -> Mask:
    """``mask`` and all within ``pixels`` of it: by distance, since a large disc is slow to dilate with."""
    if not mask.any():
        return mask
    distance = cv2.distanceTransform(cv2.bitwise_not(mask), cv2.DIST_L2, 3)
    return np.where(distance <= max(1.0, pixels), np.uint8(255), np.uint8(0))
