"""What an engine may know of the place that its character will stand in."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.engines.base import Scene
from pipeline.ledge import ledge_of
from pipeline.perception.tracks import Person, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Request
from pipeline.shots import shot_at
from pipeline.spec import Background, Span, VideoInfo

Frame = NDArray[np.uint8]
Shot = tuple[int, int]
#: The last ledges found, and whose they are: looking for one costs as much as drawing some frames.
_LEDGES: deque[tuple[NDArray[np.float32], VideoInfo, Shot, float | None]] = deque(maxlen=16)


def scene_of(request: Request, span: Span, tracks: Tracks, person: Person, plate: Plate) -> Scene:
    """What the engine may know of ``person``'s place; the same for all segments of a shot."""
    video = request.video
    assert video is not None
    shot = shot_at(span.start, tracks.cuts, video.frames)
    original = request.spec.background is Background.ORIGINAL
    return Scene(
        size=(video.width, video.height),
        rate=float(video.rate),
        cuts=tracks.cuts,
        ledge=_ledge(request, shot, tracks, person) if original else None,
        light=_light(plate.frame(shot[0])) if original else None,
        shadows=original,
    )


def _ledge(request: Request, shot: Shot, tracks: Tracks, person: Person) -> float | None:
    """``ledge_of``, looked for once: the same arrays are the same tracks, and those have one video."""
    video = request.video
    assert video is not None
    for joints, of, where, ledge in _LEDGES:
        if joints is person.joints and (of, where) == (video, shot):
            return ledge
    ledge = ledge_of(request, shot, tracks, person)
    _LEDGES.append((person.joints, video, shot, ledge))
    return ledge


def _light(plate: Frame) -> tuple[float, float, float]:
    """Mean linear colour of a background, 0-1."""
    small = cv2.resize(plate, (64, 36), interpolation=cv2.INTER_AREA)
    red, green, blue = (float(v) for v in ((small / 255) ** 2.2).mean(axis=(0, 1)))
    return red, green, blue
