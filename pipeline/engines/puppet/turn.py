"""Turning round: a driver whose back is to the camera is read with left and right changed over.

A picture has only a front, so who turns round is narrow in the middle of the turn and has their
front to the camera again at its end. Where the reading changes, each arm becomes the other: it
swings there with its whole length, while the body is narrowest.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.character.skeleton import ARM, LEG, SIDE
from pipeline.engines.puppet.performance import Performance
from pipeline.engines.puppet.signals import Values, runs, smooth, switch
from pipeline.engines.puppet.skin import Plane, plane

#: A back is one, and is one no more, where the shoulders are so far apart, over their whole width.
_SURE = 0.2
#: Seconds (sigma) over which shoulders are looked at, and over which the reading changes.
_LOOK, _CHANGE = 0.06, 0.05
#: So far from either reading both count.
_MIXED = 1e-3


def turned_away(front: Values, rate: float, cuts: Sequence[int]) -> Values:
    """How far the driver is read as seen from behind in every frame, 0-1 (T,).

    ``front`` (T,) is how far the left shoulder is to the right of the right one.
    """
    reference = max(1e-3, float(np.percentile(np.abs(front), 90)))
    behind = -smooth(front, _LOOK * rate, cuts) / reference
    away = switch(behind, -_SURE, _SURE)
    for shot in runs(len(away), cuts):
        # It is known only later, but it happened when the shoulders lay on each other.
        for late in shot.start + 1 + np.flatnonzero(np.diff(away[shot].astype(np.int8))):
            first = late
            while first > shot.start and (behind[first - 1] > 0) == away[late]:
                first -= 1
            away[first:late] = away[late]
    return smooth(away.astype(np.float64), _CHANGE * rate, cuts)


def mixed(front: Performance, back: Performance, away: Values) -> Performance:
    """From the one reading to the other as ``away`` (T,) says; limbs keep their length on the way."""

    def between(a: Values, b: Values) -> Values:
        t = away.reshape(-1, *[1] * (a.ndim - 1))
        return (1 - t) * a + t * b

    values: dict[str, Any] = {
        field.name: between(getattr(front, field.name), getattr(back, field.name))
        for field in fields(Performance)
        if field.name not in ("present", "opening", "acting")
    }
    points = values["points"]
    for chain, side in itertools.product((ARM, LEG), (0, SIDE)):
        for start, stop in itertools.pairwise(point + side for point in chain):
            a, b = (plane(each.points[:, stop] - each.points[:, start]) for each in (front, back))
            step = _swung(a, b, away)
            points[:, stop] = points[:, start] + np.stack([step.real, step.imag], axis=1)
    return replace(front, **values)


def _swung(a: Plane, b: Plane, away: Values) -> Plane:
    """A bone on its way from ``a`` to ``b``, (T,): turned, not shortened."""
    way = np.angle(b * np.conj(a))
    between: NDArray[np.bool_] = (away > _MIXED) & (away < 1 - _MIXED)
    edges = np.flatnonzero(np.diff(between.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    for start, stop in edges:
        # One way round throughout a turn: the shorter one at its middle.
        part = np.unwrap(way[start:stop])
        middle = part[np.abs(away[start:stop] - 0.5).argmin()]
        way[start:stop] = part - 2 * np.pi * np.round(middle / (2 * np.pi))
    length = (1 - away) * np.abs(a) + away * np.abs(b)
    return np.asarray(length * a / np.maximum(np.abs(a), 1e-9) * np.exp(1j * away * way), np.complex128)
