"""The hands of the people in a frame: mediapipe's 21 points each, told apart by whose wrist they are at."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.base import Pose
from pipeline.perception.bodies import size_of
from pipeline.perception.pose import DARK, without_chatter
from pipeline.perception.tracks import Joint

Floats = NDArray[np.float32]

#: Points of a hand; the first is the wrist.
POINTS = 21
#: Pixels of the smallest body whose hands are worth looking at: its fingers would be dots.
_SMALLEST = 110
#: A hand belongs to the wrist that is nearer than this, in body's sizes.
_NEAR = 0.3
_WRISTS = (Joint.LEFT_WRIST, Joint.RIGHT_WRIST)


class HandFinder:
    """Follows hands through frames that are given in order. Close it."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._used = False

    def look(self, rgb: NDArray[np.uint8], people: Mapping[int, Pose]) -> dict[int, Floats]:
        """float32 (2, 21, 2) for each slot: the left and the right hand; NaN for one that is not seen."""
        large = {slot: pose for slot, pose in people.items() if size_of(pose.joints) >= _SMALLEST}
        if not large:
            return {}
        hands = self._find(rgb)
        return {slot: _own(pose.joints, hands) for slot, pose in large.items()}

    def reset(self) -> None:
        """Forget where hands were: over a dark frame the graph loses them, or is started again."""
        if self._used and self._graph is not None and self._process(DARK):
            self.close()
        self._used = False

    def close(self) -> None:
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def _find(self, rgb: NDArray[np.uint8]) -> list[Floats]:
        self._used = True
        if self._graph is not None:
            return self._process(rgb)
        with without_chatter():
            from mediapipe.python.solutions.hands import Hands

            self._graph = Hands(
                static_image_mode=False,
                max_num_hands=2,
                model_complexity=0,
                min_detection_confidence=0.6,
                min_tracking_confidence=0.6,
            )
            return self._process(rgb)

    def _process(self, rgb: NDArray[np.uint8]) -> list[Floats]:
        size = np.array([rgb.shape[1], rgb.shape[0]], np.float32)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="google.protobuf")
            found = self._graph.process(np.ascontiguousarray(rgb))
        return [
            np.array([(mark.x, mark.y) for mark in hand.landmark], np.float32) * size
            for hand in found.multi_hand_landmarks or ()
        ]


def _own(joints: Floats, hands: list[Floats]) -> Floats:
    """Those of ``hands`` that are at a body's wrists; each wrist takes the nearest."""
    own = np.full((2, POINTS, 2), np.nan, np.float32)
    reach = _NEAR * size_of(joints)
    for side, wrist in enumerate(_WRISTS):
        far = [float(np.linalg.norm(hand[0] - joints[wrist, :2])) for hand in hands]
        other = [float(np.linalg.norm(hand[0] - joints[_WRISTS[1 - side], :2])) for hand in hands]
        near = [i for i, distance in enumerate(far) if distance < min(reach, other[i])]
        if near:
            own[side] = hands[min(near, key=lambda i: far[i])]
    return own
