"""Motion blur: what a camera with an open shutter would see of a limb that is quick.

A layer is drawn at several moments of the exposure, as many as it takes for them to run together,
and the mean is taken, premultiplied. What hardly moves is drawn once, and sharp.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.engines.puppet.skin import Plane

#: A layer is blurred that moves so far during the exposure, in frame heights.
BLUR_FROM = 0.006
#: So far apart the drawn moments may be, in frame heights, and how many they are at most.
_APART, _MOST = 0.006, 6


def shutter(now: Plane, ends: Sequence[Plane], height: int) -> list[Plane]:
    """The places of a layer's vertices at the moments to draw: ``now`` alone if it hardly moves.

    ``ends`` are the places when the shutter opens and closes, or nothing.
    """
    if not ends:
        return [now]
    first, last = ends
    way = distance([first, now, last]) / height
    if way < BLUR_FROM:
        return [now]
    count = min(_MOST, 1 + int(np.ceil(way / _APART)))
    # Each moment stands for an equal part of the exposure; its middle is what is drawn.
    moments = (np.arange(count) + 0.5) / count * 2 - 1
    return [now + abs(t) * ((last if t > 0 else first) - now) for t in moments]


def distance(stops: Sequence[Plane]) -> float:
    """How far the points of a layer that move most go from the first of ``stops`` to the last, in pixels."""
    ways = [np.abs(after - before) for before, after in itertools.pairwise(stops)]
    return float(np.percentile(np.sum(ways, axis=0), 95))


def mean_of(pictures: Sequence[NDArray[np.uint8]], apart: float) -> NDArray[np.uint8]:
    """The mean of premultiplied pictures of one size, whose edges are ``apart`` pixels from each other."""
    total = np.zeros(pictures[0].shape, np.uint16)
    for picture in pictures:
        total += picture
    mean = np.asarray((total + len(pictures) // 2) // len(pictures), np.uint8)
    # Edges that far apart would be seen as steps.
    side = 2 * round(apart / 4) + 1
    return mean if side < 3 else np.asarray(cv2.blur(mean, (side, side), borderType=cv2.BORDER_CONSTANT))
