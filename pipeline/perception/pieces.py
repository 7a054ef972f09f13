"""What one piece of a video says before the whole is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Piece:
    """Raw findings in ``n`` frames from frame ``start`` on."""

    start: int
    #: float32 (n, 33, 4) as in ``tracks.Person``; NaN where nobody was found.
    joints: NDArray[np.float32]
    #: int64: frames of the video that may begin a shot.
    cuts: NDArray[np.int64]
    #: float64 (n, 3, 3): from each frame's pixels (of the matte's size) to those of frame
    #: ``start - 1``, or of frame 0 in the first piece.
    camera: NDArray[np.float64]
    matte_size: tuple[int, int]
    #: uint8 (n, 9, 16, 4): each frame's ``light.light_of``.
    light: NDArray[np.uint8]

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                start=np.int64(self.start),
                joints=self.joints,
                cuts=self.cuts,
                camera=self.camera,
                matte_size=np.array(self.matte_size, np.int64),
                light=self.light,
            )

    @classmethod
    def load(cls, path: Path) -> Piece:
        with np.load(path, allow_pickle=False) as data:
            width, height = (int(side) for side in data["matte_size"])
            size = width, height
            return cls(int(data["start"]), data["joints"], data["cuts"], data["camera"], size, data["light"])
