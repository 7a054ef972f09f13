"""Contact shadows: what ties feet to the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.character.skeleton import SIDE, Point
from pipeline.engines.base import Rgba
from pipeline.engines.puppet.skin import Pose

#: Darkest alpha, and half the width and depth of a shadow, in body units.
_DARK, _WIDE, _DEEP = 0.5, 0.33, 0.075
#: A foot this high over the ground (body units) has lost most of its shadow.
_LIFTED = 0.25


def lay_shadows(canvas: Rgba, pose: Pose, unit: float, grounded: float) -> None:
    """Draw a soft dark patch under each foot on the empty ``canvas``; weaker under a lifted foot."""
    height, width = canvas.shape[:2]
    size = unit * pose.scale
    soles = [_sole(pose, side, size) for side in (0, SIDE)]
    ground = max(sole.imag for sole in soles)
    patches: list[tuple[int, int, NDArray[np.float32]]] = []
    for sole in soles:
        strength = grounded * float(np.exp(-(((ground - sole.imag) / (_LIFTED * size)) ** 2)))
        left, right = (int(sole.real + sign * 3 * _WIDE * size) for sign in (-1, 1))
        # The ground lies under the lower foot; the patch of a lifted one stays there.
        middle = 0.5 * (ground + sole.imag)
        top, bottom = (int(middle + sign * 3 * _DEEP * size) for sign in (-1, 1))
        left, right, top, bottom = max(0, left), min(width, right), max(0, top), min(height, bottom)
        if left >= right or top >= bottom:
            continue
        x = (np.arange(left, right, dtype=np.float32) - sole.real) / (_WIDE * size)
        y = (np.arange(top, bottom, dtype=np.float32) - middle) / (_DEEP * size)
        patch = strength * np.exp(-(y[:, None] ** 2) - x[None] ** 2)
        patches.append((left, top, np.asarray(patch, np.float32)))
    if not patches:
        return
    left, top = min(x for x, _, _ in patches), min(y for _, y, _ in patches)
    right = max(x + patch.shape[1] for x, _, patch in patches)
    bottom = max(y + patch.shape[0] for _, y, patch in patches)
    shadow = np.zeros((bottom - top, right - left), np.float32)
    for column, row, patch in patches:
        part = shadow[row - top :, column - left :][: patch.shape[0], : patch.shape[1]]
        np.maximum(part, patch, out=part)
    canvas[top:bottom, left:right, 3] = np.rint(255 * _DARK * shadow)


def _sole(pose: Pose, side: int, size: float) -> complex:
    """Where a foot touches the ground: under the middle between ankle and toes."""
    ankle, toe = pose.points[Point.LEFT_ANKLE + side], pose.points[Point.LEFT_TOE + side]
    lowest = max(ankle.imag + 0.12 * size, toe.imag + 0.03 * size)
    return complex((ankle.real + toe.real) / 2, lowest)
