"""Joints as a detector sees them, in windows that follow a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.pose import PoseDetector
from pipeline.quality.joints import TWELVE, Floats

Picture = NDArray[np.uint8]
#: Left, top, right, bottom.
Window = tuple[int, int, int, int]
#: A window is by this larger than the way its joints take, for hair, hands and shoes.
_AIR = 1.45


def windows(joints: Floats, size: tuple[int, int]) -> tuple[Window, ...]:
    """A window of one size for every frame, around (T, J, 2) joints, inside frames of ``size`` (W, H).

    The window only moves: a detector that tracks must not see its person jump or grow.
    """
    frame = np.array(size)
    inside = np.clip(joints, 0, frame - 1)
    middle = (inside.min(axis=1) + inside.max(axis=1)) / 2
    half = np.maximum((inside.max(axis=1) - inside.min(axis=1)).max(axis=0) / 2 * _AIR, 48)
    half = np.minimum(np.maximum(half, half.max() * 0.7), frame / 2)
    corner = np.clip(np.round(middle - half), 0, frame - np.floor(2 * half)).astype(int)
    extent = np.floor(2 * half).astype(int)
    return tuple((int(x), int(y), int(x + extent[0]), int(y + extent[1])) for x, y in corner)


def detected(frames: Iterable[Picture], where: Sequence[Sequence[Window]], *, tracking: bool) -> Floats:
    """The twelve joints of A people, each in the windows that follow them: (A, T, 12, 3).

    x, y in the frame's pixels, visibility; NaN where nobody is found. Joints that the detector guesses
    beyond the frame's edge are not visible.
    """
    found = np.full((len(where), len(where[0]), len(TWELVE), 3), np.nan)
    with ExitStack() as stack:
        detectors = [stack.enter_context(PoseDetector(tracking=tracking)) for _ in where]
        for number, frame in enumerate(frames):
            for person, detector in enumerate(detectors):
                left, top, right, bottom = where[person][number]
                pose = detector.find(frame[top:bottom, left:right])
                if pose is None:
                    continue
                joints = pose.joints[TWELVE][:, [0, 1, 3]] + (left, top, 0)
                beyond = (joints[:, :2] < 0) | (joints[:, :2] >= frame.shape[1::-1])
                joints[beyond.any(axis=1), 2] = 0
                found[person, number] = joints
    return found
