"""When the frames of a stream are shown, and the constant rate at which they are delivered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STANDARD_RATES = tuple(
    Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60")
)
#: Frames off their slot by less than this share of it still lie on the grid: clocks of whole
#: milliseconds jitter by 0.06 of a slot at 60 frames a second.
_GRID_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the frames of a stream are shown, in ticks."""

    #: Sorted presentation times of the frames that are shown.
    times: NDArray[np.int64]
    #: Those of them from which decoding can start.
    keys: NDArray[np.int64]
    #: How long the last frame is shown; 0 where the file does not say.
    last: int
    #: Seconds in a tick.
    tick: Fraction
    #: False where the file has only decoding times (AVI): then frames cannot be found by time.
    exact: bool

    def half_slot(self, rate: Fraction) -> int:
        """Half a frame of ``rate`` in whole ticks: added before rounding down, it rounds to the nearest."""
        return math.floor(1 / (2 * rate * self.tick))

    def slot(self, time: int, rate: Fraction) -> int:
        """The slot of the grid of ``rate`` at which a frame of this time is first shown."""
        return math.floor((time - int(self.times[0]) + self.half_slot(rate)) * self.tick * rate)

    def slots(self, rate: Fraction) -> int:
        """How many slots of the grid of ``rate`` the frames fill."""
        last = int(self.times[-1])
        return max(self.slot(last, rate) + 1, self.slot(last + self.last, rate))


def constant_rate(timeline: Timeline, stream: dict[str, Any]) -> tuple[Fraction, bool]:
    """The constant rate at which the frames lie, and True; or the most useful one, and False.

    ``stream`` is ffprobe's account of it, whose rates are tried first.
    """
    times, tick = timeline.times, timeline.tick
    claimed = [_fraction(stream.get(name)) for name in ("r_frame_rate", "avg_frame_rate")]
    if len(times) == 1 or times[-1] == times[0]:
        return next((rate for rate in claimed if 0 < rate <= 240), Fraction(30)), True
    mean = (len(times) - 1) / (int(times[-1] - times[0]) * tick)
    for rate in [*claimed, _nearest_standard(mean), mean.limit_denominator(1001)]:
        slots = (times - times[0]) * float(tick * rate)
        if rate > 0 and np.abs(slots - np.arange(len(times))).max() < _GRID_TOLERANCE:
            return rate, True
    # A variable rate: its commonest step is what the camera ran at when nothing held it up.
    step = Fraction(float(np.median(np.diff(times)))) * tick
    usual = min(1 / step if step > 0 else mean, Fraction(60))
    standard = _nearest_standard(usual)
    near = abs(standard - usual) < usual * Fraction(3, 100)
    return standard if near else usual.limit_denominator(1001), False


def _nearest_standard(rate: Fraction) -> Fraction:
    return min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))


def _fraction(text: str | None) -> Fraction:
    try:
        return Fraction(text or 0)
    except ZeroDivisionError:
        return Fraction(0)
