"""What a render costs, in whole credits."""

from __future__ import annotations

import math

from pipeline.spec import VideoInfo
from renderfarm.units import FAST

#: What fast mode costs, in prices of the normal one.
FAST_FACTOR = 2


def price(video: VideoInfo, mode: str) -> int:
    """One credit for each second begun, a last lone frame not counted; twice that for fast."""
    return max(1, math.ceil((video.frames - 1) / video.rate)) * least(mode)


def least(mode: str) -> int:
    """What the shortest of videos costs."""
    return FAST_FACTOR if mode == FAST else 1


def charge(held: int, mode: str, ran_wide: bool) -> int:
    """What a finished job costs of what it holds: the normal price where it was fast only by name."""
    return held if mode != FAST or ran_wide else held // FAST_FACTOR
