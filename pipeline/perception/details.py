"""Faces and hands of the people in a frame, for the models that act them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.base import Details, Pose
from pipeline.perception.face import FaceFinder, head_box, signals_of
from pipeline.perception.hands import HandFinder

Floats = NDArray[np.float32]

#: Pixels of the smallest square round a head in which a mouth can be told from a shadow.
_SMALLEST = 72


@dataclass(slots=True)
class DetailFinder:
    """Looks at the people who were found in a frame. Close it."""

    _faces: FaceFinder = field(default_factory=FaceFinder)
    _hands: HandFinder = field(default_factory=HandFinder)

    def look(self, rgb: NDArray[np.uint8], people: Mapping[int, Pose]) -> dict[int, Details]:
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

    def close(self) -> None:
        self._faces.close()
        self._hands.close()
