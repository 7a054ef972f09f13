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
_SOLID = 40
#: How far from the matte, as a share of the shorter side, nothing of the person can be.
_FAR = 1 / 28
#: ``closeness`` above this is a person's, with a narrow rim.
COVERED = 210


def closeness(matte: Mask) -> Mask:
    """How near each pixel is to a person: uint8, 0 well away, above ``COVERED`` where they may be."""
    result = np.zeros_like(matte)
    reach = max(2.0, _FAR * min(matte.shape))
    box = _grown_box(matte, int(np.ceil(reach)))
    if box is not None:
        x, y, width, height = box
        part = np.s_[y : y + height, x : x + width]
        away = np.minimum(_away(matte[part]), np.float32(reach))
        result[part] = cv2.convertScaleAbs(away, alpha=-255 / reach, beta=255)
    return result


def around(matte: Mask) -> tuple[int, int, int, int] | None:
    """x, y, width, height of all that ``removal`` may take out; None where nobody is."""
    return _grown_box(matte, round((_REACH + 2 * _RIM) * min(matte.shape)) + 2)


def _grown_box(matte: Mask, pixels: int) -> tuple[int, int, int, int] | None:
    """The box of the people of ``matte`` and so many pixels around it."""
    x, y, width, height = cv2.boundingRect(np.where(matte > _SOLID, np.uint8(255), np.uint8(0)))
    if not width:
        return None
    left, top = max(0, x - pixels), max(0, y - pixels)
    right, bottom = min(matte.shape[1], x + width + pixels), min(matte.shape[0], y + height + pixels)
    return left, top, right - left, bottom - top


def removal(frame: Mask, plate: Mask, matte: Mask, short: float, keep: Mask | None = None) -> Mask:
    """uint8 (h, w): how much of each pixel to replace by the plate's; all are of the same size.

    They may be a part of the frame, whose shorter side is ``short``. What is nearer to somebody in
    ``keep`` than to the person is theirs.
    """
    away = _away(matte)
    own = away <= _reach(_REACH * short)
    person = away <= _reach(_RIM * short)
    if keep is not None and (keep > _SOLID).any():
        theirs = _away(keep) < away
        own &= ~theirs
        person &= ~theirs
    same = cv2.inRange(cv2.absdiff(frame, plate), np.zeros(3), np.full(3, float(_DIFFERS)))
    other = cv2.bitwise_not(same)
    # Thin things (antlers, a cable) come in crumbs: those a few pixels apart are one.
    size = 2 * round(short / 90) + 1
    other = cv2.dilate(other, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    # What hangs together with the person, so that a screen flickering elsewhere stays as it is.
    _, labels = cv2.connectedComponents((((other > 0) & own) | person).astype(np.uint8))
    belongs = np.zeros(int(labels.max()) + 1, np.uint8)
    belongs[labels[person]] = 255
    belongs[0] = 0
    return np.asarray(cv2.GaussianBlur(belongs[labels], (0, 0), max(1.0, short / 240)), np.uint8)


def _away(matte: Mask) -> NDArray[np.float32]:
    """How far each pixel is from the people of ``matte``: dilating with large discs is slow."""
    free = np.where(matte > _SOLID, np.uint8(0), np.uint8(255))
    return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, 3), np.float32)


def _reach(pixels: float) -> float:
    return max(1.0, pixels)
