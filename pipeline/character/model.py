"""What a character is: its skeleton and its layers, in the pixels of its own picture."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EngineError

#: The layers a character may have, in the order they lie on each other in most pictures, rearmost first.
LAYERS = (
    "left_shin",
    "right_shin",
    "torso",
    "left_thigh",
    "right_thigh",
    "head",
    "left_upper_arm",
    "right_upper_arm",
    "left_forearm",
    "right_forearm",
)


@dataclass(frozen=True, slots=True)
class Layer:
    """One part of the body, complete: also where another part covers it in the picture."""

    #: One of ``LAYERS``.
    name: str
    #: Place of the texture's upper left corner in the picture, in pixels.
    left: int
    top: int
    #: uint8 (h, w, 4): colours as in the picture (straight alpha), continued past the edge.
    rgba: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Character:
    """A jointed cut-out. All places are in the pixels of the working picture."""

    #: Width and height of the working picture.
    size: tuple[int, int]
    #: float32 (33, 4): as the detector found them; left is at the right of the picture.
    joints: NDArray[np.float32]
    #: Rearmost first; a character cut off by its picture has fewer.
    layers: tuple[Layer, ...]
    #: The row at which the picture cuts the body off; None where the whole body is there.
    cut: int | None
    #: float32 (468, 2): mediapipe's face mesh; None where no face is found that a face's acting would fit.
    face: NDArray[np.float32] | None = None

    @property
    def has_arms(self) -> tuple[bool, bool]:
        """Left, right."""
        names = {layer.name for layer in self.layers}
        return "left_upper_arm" in names, "right_upper_arm" in names

    @property
    def has_legs(self) -> bool:
        return any(layer.name == "left_thigh" for layer in self.layers)

    def save(self, path: Path) -> None:
        """Write everything to ``path``: an npz without pickles, the same bytes for the same character."""
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                size=np.array(self.size, np.int64),
                joints=self.joints,
                cut=np.array(-1 if self.cut is None else self.cut, np.int64),
                names=np.array([layer.name for layer in self.layers], "U32"),
                places=np.array([(layer.left, layer.top) for layer in self.layers], np.int64),
                **({} if self.face is None else {"face": self.face}),
                **{f"layer_{i}": layer.rgba for i, layer in enumerate(self.layers)},
            )

    @classmethod
    def load(cls, path: Path) -> Character:
        """What ``save`` wrote; raises ``EngineError``: the file is ours, not the user's."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                layers = tuple(
                    Layer(str(name), int(left), int(top), data[f"layer_{i}"])
                    for i, (name, (left, top)) in enumerate(zip(data["names"], data["places"], strict=True))
                )
                width, height = (int(side) for side in data["size"])
                cut = int(data["cut"])
                joints, face = data["joints"], data.get("face")
                return cls((width, height), joints, layers, None if cut < 0 else cut, face)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise EngineError(f"{path.name} is not a character: {error}") from error
