"""What an engine may know of the place that its character will stand in."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.engines.base import Scene
from pipeline.perception.mattes import mattes
from pipeline.perception.tracks import Joint, Person, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Request
from pipeline.shots import shot_at
from pipeline.spec import Background, Span

Frame = NDArray[np.uint8]

#: Mattes looked at to find what stands in front of the driver.
_LOOKED_AT = 90


def scene_of(request: Request, span: Span, tracks: Tracks, person: Person, plate: Plate) -> Scene:
    """What the engine may know of ``person``'s place; the same for all segments of a shot."""
    video = request.video
    assert video is not None
    start, stop = shot_at(span.start, tracks.cuts, video.frames)
    looked_at = Span(0, start, min(stop, start + _LOOKED_AT))
    original = request.spec.background is Background.ORIGINAL
    return Scene(
        size=(video.width, video.height),
        rate=float(video.rate),
        cuts=tracks.cuts,
        ledge=_ledge(request, looked_at, tracks, person) if original else None,
        light=_light(plate.frame(start)) if original else None,
        shadows=original,
    )


def _light(plate: Frame) -> tuple[float, float, float]:
    """Mean linear colour of a background, 0-1."""
    small = cv2.resize(plate, (64, 36), interpolation=cv2.INTER_AREA)
    red, green, blue = (float(v) for v in ((small / 255) ** 2.2).mean(axis=(0, 1)))
    return red, green, blue


def _ledge(request: Request, span: Span, tracks: Tracks, person: Person) -> float | None:
    """The row below which something in front of the driver hides them in the shot that ``span`` begins.

    Where the body ends well above the frame's lower edge, always at about the same row, and no feet
    are seen, something stands before it.
    """
    video = request.video
    assert video is not None
    feet = person.joints[span.start : span.stop, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE], 3]
    if np.nanmean(np.where(np.isfinite(feet), feet, 0)) > 0.3:
        return None
    rows = [
        row
        for number, matte in enumerate(mattes(request, span, tracks, [person]), span.start)
        if (row := _lowest(matte, person, number, video.width)) is not None
    ]
    if not rows:
        return None
    scale = video.height / tracks.matte_size[1]
    lowest, spread = float(np.percentile(rows, 80)) + 1, float(np.std(rows))
    if lowest > 0.97 * tracks.matte_size[1] or spread > 0.03 * tracks.matte_size[1]:
        return None
    return lowest * scale


def _lowest(matte: Frame, person: Person, number: int, width: int) -> int | None:
    """The lowest row of the trunk in a matte; None where there is none."""
    if not person.present[number]:
        return None
    scale = matte.shape[1] / width
    shoulders = person.joints[number, [Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER], 0] * scale
    middle, half = float(shoulders.mean()), max(2.0, 0.3 * float(abs(shoulders[0] - shoulders[1])))
    columns = matte[:, max(0, int(middle - half)) : max(0, int(middle + half)) + 1] > 127
    found = np.flatnonzero(columns.any(axis=1))
    return int(found[-1]) if len(found) else None
