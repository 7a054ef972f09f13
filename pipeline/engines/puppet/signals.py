"""Signals over time: smoothing that never crosses a cut, and filling where nothing was seen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Values = NDArray[np.float64]


def runs(length: int, cuts: Sequence[int]) -> Iterator[slice]:
    """The shots of a video of ``length`` frames."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < length}), length]
    for start, stop in itertools.pairwise(edges):
        yield slice(start, stop)


def smooth(values: Values, sigma: float, cuts: Sequence[int]) -> Values:
    """Gaussian smoothing along the first axis, shot by shot; ``sigma`` in frames."""
    out = np.empty_like(values, np.float64)
    for shot in runs(len(values), cuts):
        out[shot] = gaussian_filter1d(values[shot], max(sigma, 1e-3), axis=0, mode="nearest")
    return out


def trusted(values: Values, trust: Values, sigma: float, default: Values, cuts: Sequence[int]) -> Values:
    """``values`` (T, ...) where ``trust`` (T,) is 1; where it is 0, what the frames around say.

    Normalised convolution with a little of ``default``: a joint lost for some frames is held and
    fades into the default pose when it stays away.
    """
    weight = trust.reshape(-1, *[1] * (values.ndim - 1))
    known = np.where(weight > 0, values, 0.0)
    around = smooth(known * weight, sigma, cuts) + _PRIOR * default
    share = smooth(np.broadcast_to(weight, values.shape).astype(np.float64), sigma, cuts) + _PRIOR
    return np.asarray(weight * known + (1 - weight) * around / share, np.float64)


#: How much a default weighs against what was seen: a few percent of one certain frame.
_PRIOR = 0.03


def ramp(values: Values, low: float, high: float) -> Values:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float64)


def switch(values: Values, low: float, high: float) -> NDArray[np.bool_]:
    """True from where ``values`` rise above ``high`` until they fall below ``low``."""
    out = np.zeros(len(values), np.bool_)
    state = bool(len(values)) and bool(values[0] > (low + high) / 2)
    for i, value in enumerate(values):
        if value > high:
            state = True
        elif value < low:
            state = False
        out[i] = state
    return out
