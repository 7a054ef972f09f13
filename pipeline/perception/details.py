"""Faces and hands of the people in a frame, for the models that act them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.face import FaceFinder, head_box, signals_of
from pipeline.perception.hands import HandFinder
from pipeline.perception.pose import Pose

Floats = NDArray[np.float32]

#: Pixels of the smallest square round a head in which a mouth can be told from a shadow.
_SMALLEST = 72


@dataclass(frozen=True, slots=True)
class Details:
    """What was seen of one person."""

    #: float32 (10,), or None.
    face: Floats | None
    #: float32 (2, 21, 2) in the frame's pixels, or None.
    hands: Floats | None


@dataclass(slots=True)
class DetailFinder:
    """Looks at the people who were found in a frame. Use it in a ``with``."""

    _faces: FaceFinder = field(default_factory=FaceFinder)
    _hands: HandFinder = field(default_factory=HandFinder)

    def look(self, rgb: NDArray[np.uint8], people: dict[int, Pose]) -> dict[int, Details]:
        """The details of everybody in ``people``, by slot."""
        hands = self._hands.look(rgb, people)
        return {slot: Details(self._face(rgb, pose), hands.get(slot)) for slot, pose in people.items()}

    def reset(self) -> None:
        """Another shot or piece begins."""
        self._hands.reset()

    def _face(self, rgb: NDArray[np.uint8], pose: Pose) -> Floats | None:
        box = head_box(pose.joints, (rgb.shape[1], rgb.shape[0]))
        if box is None:
            return None
        left, top, right, bottom = box
        if min(right - left, bottom - top) < _SMALLEST:
            return None
        mesh = self._faces.find(rgb[top:bottom, left:right])
        return None if mesh is None else signals_of(mesh)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._faces.close()
        self._hands.close()
