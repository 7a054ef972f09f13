"""What perception is: something that finds the people in the frames of a video."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pose:
    """One person as a detector sees them in one picture."""

    #: float32 (33, 4): x, y, z in pixels (a smaller z is nearer; only to be compared within one body),
    #: visibility 0-1.
    joints: Floats
    #: float32 (H, W), 0-1: how much of each pixel is the person.
    mask: Floats


@dataclass(frozen=True, slots=True)
class Details:
    """What else was seen of one person."""

    #: float32 (10,), what ``tracks.Face`` names, or None.
    face: Floats | None
    #: float32 (2, 21, 2) in the frame's pixels, NaN for a hand that was not seen, or None.
    hands: Floats | None


class Perception(ABC):
    """A backend: made once for many pieces, and given the frames of each in order. Use it in a ``with``.

    The frames of a piece, given after ``reset(piece=True)``, have the same findings whatever was
    looked at before, on any number of cores.
    """

    @abstractmethod
    def look(self, rgb: Frame) -> dict[int, Pose]:
        """Everybody in a frame (uint8 (H, W, 3)), in its pixels, the nearest first.

        By slot: a number under 255 that means the same person from frame to frame, as far as that can
        be told on the way, and that is not given to anybody else before the next piece.
        """

    @abstractmethod
    def details(self, rgb: Frame, people: Mapping[int, Pose]) -> dict[int, Details] | None:
        """Faces and hands of those whom ``look`` found in the same frame; None where nobody asks for them."""

    @abstractmethod
    def reset(self, *, piece: bool = False) -> None:
        """Forget everybody: another shot begins, or another ``piece``, in which slots are given anew."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the backend holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
