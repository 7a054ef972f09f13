"""What stands in front of a driver and hides them from some row on: a desk, a counter, a wall."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import read_frames
from pipeline.perception.mattes import mattes
from pipeline.perception.tracks import Joint, Person, Tracks
from pipeline.protocol import Request
from pipeline.spec import Span

Frame = NDArray[np.uint8]
Matte = NDArray[np.uint8]

#: Mattes looked at to find where the driver's body ends, and frames to find a desk's edge.
_LOOKED_AT, _WATCHED = 90, 24
#: An edge: so many levels from two rows above to two rows below.
_CONTRAST = 10
#: What stands in front has an edge in nearly all columns of the body, and beside it so far as half its width.
_WHOLE = 0.8


def ledge_of(request: Request, shot: tuple[int, int], tracks: Tracks, person: Person) -> float | None:
    """The row below which something in front of ``person`` hides them in ``shot`` (its first frame, its end).

    No feet may be seen. Then either the body ends well above the frame's lower edge, always at about the
    same row; or a detector saw the person go on there, in a table's polish, but an edge that stands still
    crosses their body and goes on at both sides of it.
    """
    video = request.video
    assert video is not None
    start, stop = shot[0], min(shot[1], shot[0] + _LOOKED_AT)
    feet = person.joints[start:stop, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE], 3]
    if np.nanmean(np.where(np.isfinite(feet), feet, 0)) > 0.3:
        return None
    rows, watched = [], {}
    for number, matte in enumerate(mattes(request, Span(0, start, stop), tracks, [person]), start):
        if (row := _lowest(matte, person, number, video.width)) is not None:
            rows.append(row)
            if number < start + _WATCHED:
                watched[number] = matte
    if not rows:
        return None
    width, height = tracks.matte_size
    scale = video.height / height
    lowest, spread = float(np.percentile(rows, 80)) + 1, float(np.std(rows))
    if lowest <= 0.97 * height:
        return lowest * scale if spread <= 0.03 * height else None
    first, last = min(watched, default=0), max(watched, default=0) + 1
    frames = read_frames(request.inputs["video"], video, Span(0, first, last), (width, height))
    gray = [_gray(frame) for number, frame in enumerate(frames, first) if number in watched]
    shoulders = person.joints[first:last, [Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER], 1]
    row = edge_across(gray, list(watched.values()), int(np.nanmax(shoulders) / scale))
    return None if row is None else row * scale


def edge_across(frames: Sequence[Frame], bodies: Sequence[Matte], below: int) -> int | None:
    """The uppermost row under ``below`` at which an edge that stands still crosses the bodies.

    ``frames`` are gray, (H, W), ``bodies`` the mattes of one person in them. A hem or a belt ends with
    the body, and what is behind it is hidden by it: only what is in front goes right across.
    """
    if not frames:
        return None
    edges = np.zeros(frames[0].shape, np.float64)
    for frame in frames:
        signed = frame.astype(np.int16)
        edges[2:-2] += np.abs(signed[4:] - signed[:-4]) > _CONTRAST
    # What moves is at no row for long, nor is anything where the camera moves.
    still = edges > _WHOLE * len(frames)
    body = np.mean(np.stack(bodies) > 127, axis=0) > _WHOLE
    for row in range(max(2, below), len(still) - 2):
        columns = np.flatnonzero(body[row])
        if not len(columns):
            continue
        left, right = int(columns[0]), int(columns[-1]) + 1
        half = max(2, (right - left) // 2)
        parts = (
            still[row, max(0, left - half) : left],
            still[row, left:right],
            still[row, right : right + half],
        )
        if all(len(part) and part.mean() > _WHOLE for part in parts):
            # The first row that feels the edge lies two above it.
            return row + 2
    return None


def _gray(frame: Frame) -> Frame:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _lowest(matte: Matte, person: Person, number: int, width: int) -> int | None:
    """The lowest row of the trunk in a matte; None where there is none."""
    if not person.present[number]:
        return None
    scale = matte.shape[1] / width
    shoulders = person.joints[number, [Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER], 0] * scale
    middle, half = float(shoulders.mean()), max(2.0, 0.3 * float(abs(shoulders[0] - shoulders[1])))
    columns = matte[:, max(0, int(middle - half)) : max(0, int(middle + half)) + 1] > 127
    found = np.flatnonzero(columns.any(axis=1))
    return int(found[-1]) if len(found) else None
