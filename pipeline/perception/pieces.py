"""What one piece of a video says before the whole is known."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Piece:
    """Raw findings in ``n`` frames from frame ``start`` on, of ``s`` slots: finds of somebody."""

    start: int
    #: bool (n,): frames in which people were looked for; who they are between, the join works out.
    looked: NDArray[np.bool_]
    #: float32 (s, n, 33, 4) as in ``tracks.Person``; NaN where this slot was not seen.
    joints: NDArray[np.float32]
    #: float32 (s, 12, 4): each slot's ``looks.mean_look``.
    looks: NDArray[np.float32]
    #: float32 (s, n, 10) and (s, n, 2, 21, 2) as in ``tracks.Person``; of no slots where nobody looked.
    face: NDArray[np.float32]
    hands: NDArray[np.float32]
    #: int64: frames of the video that may begin a shot.
    cuts: NDArray[np.int64]
    #: float64 (n, 3, 3): from each frame's pixels (of the matte's size) to those of frame
    #: ``start - 1``, or of frame 0 in the first piece.
    camera: NDArray[np.float64]
    matte_size: tuple[int, int]
    #: uint8 (n, 9, 16, 4): each frame's ``light.light_of``.
    light: NDArray[np.uint8]

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Piece:
        with np.load(path, allow_pickle=False) as data:
            arrays = {field.name: data[field.name] for field in fields(cls)}
        width, height = (int(side) for side in arrays.pop("matte_size"))
        return cls(start=int(arrays.pop("start")), matte_size=(width, height), **arrays)
