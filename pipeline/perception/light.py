"""How bright each frame is: a small grid of mean colours, and how much of each cell is people.

It is taken while a frame is at hand for the first time, so that later stages need not look at every
frame again only to match their light.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: Columns and rows of the grid.
GRID = (16, 9)


def light_of(rgb: NDArray[np.uint8], matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (9, 16, 4): a frame's mean colours, and how much of each cell people cover."""
    colors = cv2.resize(rgb, GRID, interpolation=cv2.INTER_AREA)
    # A little more than the matte: a cell at a person's edge holds their shadow and their hair.
    covered = cv2.resize(cv2.dilate(matte, np.ones((9, 9), np.uint8)), GRID, interpolation=cv2.INTER_AREA)
    return np.asarray(np.dstack([colors, covered]), np.uint8)
