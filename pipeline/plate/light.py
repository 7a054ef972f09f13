"""How bright each frame is beside the plate: exposure drifts, lamps flicker, the plate must follow.

Each frame leaves a small grid of mean colours where nobody stands; beside the same grid of the
finished plate it gives one gain per channel.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

#: Columns and rows of the grid.
GRID = (16, 9)
#: Gains so close to 1 are noise, of the codec mostly.
_NOTHING = 0.012
_LEAST, _MOST = 0.7, 1.4


def grid_of(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame's mean colours, uint8 (rows, columns, 3)."""
    # INTER_AREA over a whole frame is slow from full size; a quarter of the rows and columns will do.
    return np.asarray(cv2.resize(rgb[::4, ::4], GRID, interpolation=cv2.INTER_AREA), np.uint8)


def free_of(removed: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which cells show nothing but scene; ``removed`` is 255 where people are."""
    covered = cv2.resize(removed, GRID, interpolation=cv2.INTER_AREA)
    return np.asarray(covered < 8, np.bool_)


def gains(
    frames: NDArray[np.uint8], plates: Iterable[NDArray[np.uint8]], free: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """float32 (T, 3): how many times as bright each frame's scene is as the plate's.

    ``frames`` are grids (T, rows, columns, 3), ``plates`` the grids of what the plate shows then,
    ``free`` (T, rows, columns). Exactly 1 throughout where the light does not change.
    """
    result = np.ones((len(frames), 3), np.float32)
    for number, (frame, plate, cells) in enumerate(zip(frames, plates, free, strict=True)):
        # Very dark cells give wild ratios and clipped ones give none.
        usable = cells & (plate.min(axis=2) > 16) & (frame.max(axis=2) < 250)
        if usable.sum() >= 12:
            result[number] = np.median(frame[usable] / plate[usable].astype(np.float32), axis=0)
    if np.abs(result - 1).max(initial=0) < _NOTHING:
        return np.ones_like(result)
    return np.clip(_settled(result), _LEAST, _MOST)


def _settled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A median over five frames: one odd frame does not make the plate blink."""
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    windows = np.stack([padded[shift : shift + len(values)] for shift in range(5)])
    return np.asarray(np.median(windows, axis=0), np.float32)


def relight(rgb: NDArray[np.uint8], gain: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``rgb`` times ``gain`` (3,); the same array where that is 1."""
    if (gain == 1).all():
        return rgb
    table = np.clip(np.rint(np.arange(256)[:, None] * gain[None]), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(rgb, table[:, None]), np.uint8)
