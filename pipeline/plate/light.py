"""How bright each frame is beside the plate: exposure drifts, lamps flicker, the plate must follow.

Perception leaves a small grid of mean colours of every frame; beside the same grid of the plate it
gives one gain per channel.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

#: Gains so close to 1 are noise, of the codec mostly.
_NOTHING = 0.012
_LEAST, _MOST = 0.5, 2.0
#: Cells of the grid that show nothing but scene, so many at least, tell the light.
_FEWEST = 12
#: A cell of which people cover more (of 255) is not free.
_FREE = 8


def gains(grids: NDArray[np.uint8], plates: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """float32 (T, 3): how many times as bright each frame's scene is as the plate's.

    ``grids`` are ``perception.light.light_of`` the frames, (T, rows, columns, 4), ``plates`` the grids
    (rows, columns, 3) of what the plate shows then. Exactly 1 throughout where the light does not
    change. A frame that tells nothing has the light of the frame before it.
    """
    result = np.ones((len(grids), 3), np.float32)
    last = result[0] if len(result) else None
    for number, (grid, plate) in enumerate(zip(grids, plates, strict=True)):
        frame, cover = grid[..., :3], grid[..., 3]
        # Very dark cells give wild ratios and clipped ones give none.
        usable = (cover < _FREE) & (plate.min(axis=2) > 16) & (frame.max(axis=2) < 250)
        if usable.sum() >= _FEWEST:
            last = np.median(frame[usable] / plate[usable].astype(np.float32), axis=0)
        result[number] = last
    if np.abs(result - 1).max(initial=0) < _NOTHING:
        return np.ones_like(result)
    return np.clip(result, _LEAST, _MOST)


def relight(rgb: NDArray[np.uint8], gain: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``rgb`` times ``gain`` (3,); the same array where that is 1."""
    if (gain == 1).all():
        return rgb
    table = np.clip(np.rint(np.arange(256)[:, None] * gain[None]), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(rgb, table[:, None]), np.uint8)
