"""From the detector's soft, coarse mask to a matte that follows the person's edge."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.tracks import BONES

#: How far colours may differ (of 255) and still count as one surface for the guided filter.
_EDGE_CONTRAST = 5.0
#: A joint below this visibility says nothing about where the person is.
_SEEN = 0.3


def refine(
    rgb: NDArray[np.uint8], mask: NDArray[np.float32], joints: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """``mask`` (H, W) drawn to the edges of ``rgb``; blobs away from the skeleton are dropped.

    The guided filter is He, Sun, Tang: Guided Image Filtering (2010): in each window the matte
    becomes a linear function of the colour, so its edge falls where the colour's does.
    """
    if joints is not None:
        mask = keep_on_skeleton(mask, joints)
    radius = max(2, round(min(mask.shape) / 80))
    x, y, width, height = cv2.boundingRect((mask > 0.02).astype(np.uint8))
    # The filter looks two radii far; nothing of the person is beyond, and it is what a frame costs most.
    top, left = max(0, y - 3 * radius), max(0, x - 3 * radius)
    part = np.s_[top : y + height + 3 * radius, left : x + width + 3 * radius]
    refined = np.zeros_like(mask)
    if width:
        guided = cv2.ximgproc.guidedFilter(rgb[part], mask[part], radius, _EDGE_CONTRAST**2)
        # It leaves a veil of a few percent on textured backgrounds and inside the body.
        refined[part] = np.clip((guided - 0.15) / 0.7, 0, 1)
    return refined


def keep_on_skeleton(mask: NDArray[np.float32], joints: NDArray[np.float32]) -> NDArray[np.float32]:
    """``mask`` without the blobs that no bone touches; every blob on the skeleton is kept.

    A forearm in front of a wall may be a blob of its own: the largest blob alone would lose it.
    """
    solid = (mask > 0.4).astype(np.uint8)
    count, labels = cv2.connectedComponents(solid)
    if count <= 2:
        return mask
    skeleton = np.zeros_like(solid)
    thickness = max(3, round(min(mask.shape) / 40))
    for a, b in BONES:
        if joints[a, 3] > _SEEN and joints[b, 3] > _SEEN:
            ends = np.clip(joints[[a, b], :2], -1e4, 1e4).astype(int)
            cv2.line(skeleton, ends[0].tolist(), ends[1].tolist(), [1], thickness)
    kept = np.zeros(count, bool)
    kept[np.unique(labels[skeleton > 0])] = True
    kept[0] = True
    if not kept[1:].any():
        return mask
    # The soft rim belongs to its blob: what is dropped is dropped with its surroundings.
    gone = cv2.dilate((~kept[labels]).astype(np.uint8), np.ones((9, 9), np.uint8))
    near = cv2.dilate((kept[labels] & (labels > 0)).astype(np.uint8), np.ones((9, 9), np.uint8))
    return np.where((gone > 0) & (near == 0), np.float32(0), mask)


class MatteSmoother:
    """Quiets the matte in time, only where the picture itself stands still.

    A plain running mean would trail behind fast hands.
    """

    def __init__(self) -> None:
        self._gray: NDArray[np.float32] | None = None
        self._matte: NDArray[np.float32] | None = None

    def reset(self) -> None:
        """Forget the past: a new shot begins."""
        self._gray = self._matte = None

    def __call__(self, rgb: NDArray[np.uint8], matte: NDArray[np.float32]) -> NDArray[np.float32]:
        gray = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (5, 5), 0).astype(np.float32)
        if self._gray is not None and self._matte is not None:
            change = cv2.absdiff(gray, self._gray)
            past = 0.6 * np.exp(-((change / 4.0) ** 2))
            matte = matte + past * (self._matte - matte)
        self._gray, self._matte = gray, matte
        return matte
