"""Where the shots of a video begin: PySceneDetect judges pairs of frames, ``join_cuts`` the whole.

Each judgement needs two neighbouring frames only, so pieces of a video can be judged side by side;
what needs the whole (no shot shorter than this) is decided once, when the pieces are joined.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

#: Frames are judged at this height; cuts do not need more.
_HEIGHT = 180
#: The shortest shot: what changes back sooner is a flash or a glitch.
MIN_SHOT_SECONDS = Fraction(2, 5)


class CutFinder:
    """Says of each frame, fed in order, whether it begins a new shot as far as one pair can tell."""

    def __init__(self, rate: Fraction) -> None:
        from scenedetect.common import FrameTimecode
        from scenedetect.detectors import ContentDetector

        self._start = FrameTimecode(0, fps=float(rate))
        # Without a shortest scene the detector's answer depends on this frame and the last alone.
        self._detector = ContentDetector(min_scene_len=0)
        self._frame = 0

    def __call__(self, rgb: NDArray[np.uint8]) -> bool:
        height, width = rgb.shape[:2]
        scale = min(1.0, _HEIGHT / height)
        small = cv2.resize(
            rgb, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
        )
        cuts = self._detector.process_frame(self._start + self._frame, cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        self._frame += 1
        return bool(cuts)


def join_cuts(candidates: Iterable[int], frames: int, rate: Fraction) -> tuple[int, ...]:
    """The first frames of all shots but the first, none of them shorter than ``MIN_SHOT_SECONDS``.

    Of candidates too close together the first stands: it ends the shot that was.
    """
    shortest = max(1, round(MIN_SHOT_SECONDS * rate))
    cuts: list[int] = []
    for cut in sorted(set(candidates)):
        if cut - (cuts[-1] if cuts else 0) >= shortest and frames - cut >= shortest:
            cuts.append(cut)
    return tuple(cuts)


def shots(cuts: tuple[int, ...], frames: int) -> tuple[tuple[int, int], ...]:
    """Each shot as (first frame, frame after its last)."""
    edges = [0, *cuts, frames]
    return tuple(itertools.pairwise(edges))


def shot_at(frame: int, cuts: Sequence[int], frames: int) -> tuple[int, int]:
    """The shot that ``frame`` is in, as ``shots`` gives it."""
    place = bisect.bisect_right(cuts, frame)
    return (cuts[place - 1] if place else 0), (cuts[place] if place < len(cuts) else frames)
