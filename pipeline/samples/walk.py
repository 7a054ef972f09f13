"""Steps to the side, from one place to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.samples.pose import Move, dance

#: Seconds that both feet take for a step each, and how far the feet are apart when they stand.
_STEP_SECONDS = 0.4
_STANCE = 0.15


def walk(
    start: float, stop: float, seconds: float, upper: Callable[[float], Move] = dance
) -> Callable[[float], Move]:
    """The pose at each second of somebody who goes from ``start`` to ``stop`` (body heights) in ``seconds``.

    Feet that are on the ground stay where they are. The arms and the head do what ``upper`` does.
    """
    sign = 1.0 if stop >= start else -1.0
    steps = max(1, round(seconds / _STEP_SECONDS))
    length = abs(stop - start) / steps

    def move(second: float) -> Move:
        done = float(np.clip(second / seconds, 0, 1)) * steps
        whole = min(int(done), steps - 1)
        part = done - whole
        places, lifts = [], []
        for order, side in enumerate((sign, -sign)):  # the foot on the side it goes to steps first
            own = float(np.clip(2 * part - order, 0, 1))
            gone = length * (whole + own * own * (3 - 2 * own))
            places.append(start + sign * gone + side * _STANCE / 2)
            lifts.append(min(length, 0.1) * 0.4 * float(np.sin(np.pi * own)))
        if sign < 0:
            places.reverse()
            lifts.reverse()
        (left, right), (left_lift, right_lift) = places, lifts
        feet = {"left_foot": left, "right_foot": right, "left_lift": left_lift, "right_lift": right_lift}
        return replace(upper(second), x=start + sign * length * done, dip=0.012, hips=0.0, **feet)

    return move


def stroll(second: float) -> Move:
    """An upper body that goes somewhere: the arms swing a little beside it."""
    swing = float(np.sin(2 * np.pi * second / 1.2))
    arms = {"left_arm": 30 + 12 * swing, "right_arm": 30 - 12 * swing, "left_elbow": 25, "right_elbow": 25}
    return Move(head=3 * swing, lean=1.5 * swing, **arms)
