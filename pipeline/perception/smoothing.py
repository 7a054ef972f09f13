"""Quiet joints that do not lag: gaps closed, then a One-Euro filter run both ways.

Casiez, Roussel, Vogel: 1-Euro Filter (CHI 2012): a low-pass whose cutoff rises with speed. A filter
that runs forwards only trails behind; here the whole run is known, so it is also run backwards and
the two are averaged: what one trails, the other leads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Hz at rest: lower is quieter.
_MIN_CUTOFF = 2.0
#: How fast the cutoff rises: Hz per body length a second.
_BETA = 6.0
#: Hz of the filter on the speed itself.
_SPEED_CUTOFF = 2.0


def one_euro(values: NDArray[np.float64], rate: float, size: float) -> NDArray[np.float64]:
    """``values`` (T, ...) sampled at ``rate`` Hz, smoothed; speeds are judged in units of ``size``."""
    return (_forwards(values, rate, size) + _forwards(values[::-1], rate, size)[::-1]) / 2


def _forwards(values: NDArray[np.float64], rate: float, size: float) -> NDArray[np.float64]:
    smooth = np.empty_like(values)
    smooth[0] = last = values[0]
    speed = np.zeros_like(last)
    for frame in range(1, len(values)):
        speed = speed + _weight(_SPEED_CUTOFF, rate) * ((values[frame] - last) * rate / size - speed)
        weight = _weight(_MIN_CUTOFF + _BETA * np.abs(speed), rate)
        smooth[frame] = last = last + weight * (values[frame] - last)
    return smooth


def _weight(cutoff: float | NDArray[np.float64], rate: float) -> float | NDArray[np.float64]:
    """The share of a new sample in an exponential low-pass of ``cutoff`` Hz."""
    return 1 / (1 + rate / (2 * np.pi * cutoff))


def runs(present: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The stretches of True as (first, one after the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def close_gaps(
    joints: NDArray[np.float32], present: NDArray[np.bool_], longest: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Absences of at most ``longest`` frames between two presences, bridged in straight lines."""
    joints, present = joints.copy(), present.copy()
    for start, stop in runs(~present):
        if start == 0 or stop == len(present) or stop - start > longest:
            continue
        steps = np.linspace(0, 1, stop - start + 2)[1:-1, None, None]
        joints[start:stop] = joints[start - 1] * (1 - steps) + joints[stop] * steps
        present[start:stop] = True
    return joints, present
