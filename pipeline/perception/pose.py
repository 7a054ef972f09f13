"""The pose detector: mediapipe, wrapped so that the rest of the room never sees it.

The wheel of 0.10.21 carries its models, so nothing is downloaded. Its own smoothing is off: it lags
and knows nothing of cuts; ``smoothing`` does it once over the whole video.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.base import Pose

#: What mediapipe and TensorFlow Lite say on stderr when all is well.
_CHATTER = re.compile(
    rb"XNNPACK delegate|absl::InitializeLog|inference_feedback_manager|landmark_projection_calculator"
)

DARK = np.zeros((64, 64, 3), np.uint8)


@contextmanager
def without_chatter() -> Iterator[None]:
    """Drop mediapipe's greetings from stderr and pass everything else on.

    They come from C++ and go past ``sys.stderr``, so the descriptor itself is held for the moment.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with warnings.catch_warnings():
                # protobuf tells mediapipe of a function that it will drop one day.
                warnings.filterwarnings("ignore", category=UserWarning, module="google.protobuf")
                yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not _CHATTER.search(line):
                    os.write(2, line)


class PoseDetector:
    """Finds the most prominent person, in a video (``tracking``) or in unrelated pictures.

    With ``tracking`` each call must bring the next frame. Close it, or use it in a ``with``.
    """

    def __init__(self, *, tracking: bool, confidence: float = 0.5) -> None:
        self._tracking = tracking
        self._confidence = confidence
        self._graph: Any = None

    def find(self, rgb: NDArray[np.uint8]) -> Pose | None:
        """The person in ``rgb`` (uint8 (H, W, 3)), or None."""
        if self._graph is not None:
            return self._process(rgb)
        with without_chatter():  # the graph's threads greet until its first frame is through
            self._graph = self._load()
            return self._process(rgb)

    def reset(self) -> None:
        """Forget where the person was: the next frame belongs to another shot.

        The graph knows nothing of the past but where to look next, and loses that over a dark frame.
        Starting it again would do the same, but costs a tenth of a second and some memory every time.
        """
        if self._graph is not None and self._process(DARK) is not None:
            self.close()

    def close(self) -> None:
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def _load(self) -> Any:
        from mediapipe.python.solutions.pose import Pose as Graph

        return Graph(
            static_image_mode=not self._tracking,
            model_complexity=1,
            smooth_landmarks=False,
            enable_segmentation=True,
            smooth_segmentation=False,
            min_detection_confidence=self._confidence,
            min_tracking_confidence=0.5,
        )

    def _process(self, rgb: NDArray[np.uint8]) -> Pose | None:
        height, width = rgb.shape[:2]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="google.protobuf")
            found = self._graph.process(np.ascontiguousarray(rgb))
        if found.pose_landmarks is None or found.segmentation_mask is None:
            return None
        marks = [(mark.x, mark.y, mark.z, mark.visibility) for mark in found.pose_landmarks.landmark]
        # z is in units of the width, like x.
        joints = np.array(marks, np.float32) * np.array([width, height, width, 1], np.float32)
        return Pose(joints, found.segmentation_mask)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
