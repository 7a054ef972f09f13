"""Whether a character's mouth does what its driver's does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import probe, read_frames
from pipeline.perception.face import FaceFinder, head_box, signals_of
from pipeline.perception.pose import PoseDetector
from pipeline.perception.tracks import Face

#: Fewer frames with both faces than this say nothing, nor does a mouth that moves less, of a face's height.
_FEWEST, _STILL = 12, 0.01


def mouth_follows(driver: Path, output: Path) -> float | None:
    """The correlation of both mouths' openings over the frames in which the detector sees both faces.

    1 is a mouth in step with the driver's, 0 one that stays as it is. None where there is nothing to
    follow: a face that is not seen, or a mouth that does not move.
    """
    one, other = _openings(driver), _openings(output)
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < _FEWEST or float(one[both].std()) < _STILL:
        return None
    if float(other[both].std()) < 1e-6:
        return 0.0
    return float(np.corrcoef(one[both], other[both])[0, 1])


def _openings(video: Path) -> NDArray[np.float64]:
    """How far the mouth is open in every frame, of the face's height; NaN where no face is seen."""
    info = probe(video)
    found = np.full(info.frames, np.nan)
    with PoseDetector(tracking=True) as people, FaceFinder() as faces:
        for number, rgb in enumerate(read_frames(video, info)):
            pose = people.find(rgb)
            box = None if pose is None else head_box(pose.joints, (info.width, info.height))
            if box is None:
                continue
            left, top, right, bottom = box
            mesh = faces.find(rgb[top:bottom, left:right])
            if mesh is not None:
                found[number] = signals_of(mesh)[Face.JAW]
    return found
