"""Views: runs of frames that share one canvas, and where each frame lies on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.camera import shift
from pipeline.perception.tracks import Tracks
from pipeline.shots import shots

#: A camera that sweeps over more than this many frames' area begins another canvas.
_MOST_AREA = 3.0
#: A camera that never moves a corner of the frame farther (pixels) stands still.
_STILL = 0.3
#: A shift so near to whole pixels is one.
_WHOLE = 0.06


@dataclass(frozen=True, slots=True)
class View:
    """Frames ``[start, stop)`` and their canvas."""

    start: int
    stop: int
    #: Width and height of the canvas.
    size: tuple[int, int]
    #: float64 (n, 3, 3): from each frame's pixels to the canvas's; None where both are the same.
    to_canvas: NDArray[np.float64] | None = None

    def matrix(self, frame: int) -> NDArray[np.float64] | None:
        """From the pixels of frame number ``frame`` of the video to the canvas's."""
        return None if self.to_canvas is None else self.to_canvas[frame - self.start]


def views_of(tracks: Tracks, frames: int, width: int, height: int) -> tuple[View, ...]:
    """Divide the video into views: never across a cut."""
    views: list[View] = []
    for start, stop in shots(tracks.cuts, frames):
        if tracks.camera is None or _still(tracks.camera[start:stop], width, height):
            views.append(View(start, stop, (width, height)))
        else:
            views.extend(_moving(tracks.camera, start, stop, width, height))
    return tuple(views)


def whole_step(matrix: NDArray[np.float64]) -> tuple[int, int] | None:
    """The whole pixels right and down that ``matrix`` moves by, where it does nothing else."""
    if not np.allclose(matrix[:, :2], np.eye(3)[:, :2], rtol=0, atol=1e-9):
        return None
    right, down = matrix[:2, 2].round()
    near = abs(matrix[0, 2] - right) < _WHOLE and abs(matrix[1, 2] - down) < _WHOLE
    return (int(right), int(down)) if near and right >= 0 and down >= 0 else None


def _still(camera: NDArray[np.float64], width: int, height: int) -> bool:
    """Whether a camera moves so little that bringing frames together would only blur them."""
    return all((way == np.eye(3)).all() or shift(way, width, height) < _STILL for way in camera)


def _moving(camera: NDArray[np.float64], start: int, stop: int, width: int, height: int) -> Iterator[View]:
    corners = np.array([[[0, 0], [width, 0], [0, height], [width, height]]], np.float64)
    while start < stop:
        home = np.linalg.inv(camera[start])
        ways: list[NDArray[np.float64]] = []
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        for matrix in camera[start:stop]:
            way = home @ matrix
            there = cv2.perspectiveTransform(corners, way)[0]
            wider = np.minimum(low, there.min(axis=0)), np.maximum(high, there.max(axis=0))
            if ways and np.prod(wider[1] - wider[0]) > _MOST_AREA * width * height:
                break
            low, high = wider
            ways.append(way)
        # Whole pixels: a frame that only shifts by whole pixels is not resampled.
        low, high = np.floor(low), np.ceil(high)
        place = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
        size = int(high[0] - low[0]), int(high[1] - low[1])
        yield View(start, start + len(ways), size, np.stack([place @ way for way in ways]))
        start += len(ways)
