"""Telling two surfaces apart by how often each shows a colour: stripes and plaids are no obstacle."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

#: Steps of a bin in CIELAB (0-255): light changes more over a surface than its hue does.
_STEPS = (8, 4, 4)
#: A colour of which a surface has less than this share counts as one that it has not.
_RARE = 2e-5


def likeness(rgb: NDArray[np.uint8], one: Mask, other: Mask) -> Floats:
    """float32 (H, W): how much more frequent each pixel's colour is in ``one`` than in ``other``.

    A natural logarithm, within -4 and 4, smoothed over a few pixels.
    """
    lab = cv2.cvtColor(cv2.bilateralFilter(rgb, 5, 20, 3), cv2.COLOR_RGB2LAB)
    bins = np.asarray(lab // np.array(_STEPS, np.uint8), np.uint8)
    at = tuple(np.moveaxis(bins, 2, 0))
    ratio = np.log(_frequency(bins[one])[at] / _frequency(bins[other])[at])
    return np.asarray(cv2.GaussianBlur(np.clip(ratio, -4, 4), (0, 0), 1.5), np.float32)


def _frequency(bins: NDArray[np.uint8]) -> Floats:
    """The share of each bin, neighbouring bins helping out."""
    count = np.zeros([256 // step for step in _STEPS], np.float32)
    np.add.at(count, tuple(bins.T), 1)
    for axis in range(3):
        count = 0.5 * count + 0.25 * (np.roll(count, 1, axis) + np.roll(count, -1, axis))
    return np.asarray(count / max(1.0, float(count.sum())) + _RARE, np.float32)
