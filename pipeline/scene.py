"""What an engine may know of the place that its character will stand in."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.engines.base import Scene
from pipeline.ledge import ledge_of
from pipeline.perception.tracks import Person, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Request
from pipeline.shots import shot_at
from pipeline.spec import Background, Span

Frame = NDArray[np.uint8]


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
        ledge=ledge_of(request, shot, tracks, person) if original else None,
        light=_light(plate.frame(shot[0])) if original else None,
        shadows=original,
    )


def _light(plate: Frame) -> tuple[float, float, float]:
    """Mean linear colour of a background, 0-1."""
    small = cv2.resize(plate, (64, 36), interpolation=cv2.INTER_AREA)
    red, green, blue = (float(v) for v in ((small / 255) ** 2.2).mean(axis=(0, 1)))
    return red, green, blue
