"""A performance: where every point of a character is in every frame of a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.engines.puppet.acting import Acting
from pipeline.engines.puppet.signals import Values


@dataclass(frozen=True, slots=True)
class Performance:
    """Where every point of the character is, in every frame of the video; pixels of the frame."""

    #: bool (T,)
    present: NDArray[np.bool_]
    #: float64 (T, 19, 2)
    points: Values
    #: float64 (T,): pixels of the frame to one of the character's picture.
    scale: Values
    #: float64 (T,): by how much the head, the shoulders and the hips are turned in the picture plane.
    head: Values
    chest: Values
    hips: Values
    #: float64 (T,): shoulders' width over what the scale alone would give.
    width: Values
    #: float64 (T, 2): the face's turn to the right of the picture and down, -1 to 1.
    turn: Values
    #: float64 (T, 2): how sure the left and right arm are behind the trunk, 0-1.
    behind: Values
    #: float64 (T,): positive where the left leg is nearer.
    legs: Values
    #: float64 (T,): how far feet stand on the driver's ground, 0-1.
    grounded: Values
    #: float64 (T, 2): how far the left and right hand are open, 0-1; None where they stay as they are.
    opening: Values | None = None
    #: What the face does; None where it stays as it is.
    acting: Acting | None = None
