"""A person in one picture: photo, painting or drawing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.base import Pose
from pipeline.perception.matte import refine
from pipeline.perception.pose import PoseDetector
from pipeline.perception.tracks import Joint

#: Pictures are looked at with their longer side at one of these, in pixels.
_SIZES = (720, 1280, 400)
#: So many others are looked for, with at most so much of them under those already known, and seen so well.
_OTHERS, _SAME, _SURE = 3, 0.3, 0.7
#: Others at least so large, as a share of the first, matter.
_SMALLEST = 0.02
#: People are painted over on a picture whose longer side has so many pixels.
_PAINTED = 360
#: Joints that a person must show to be one.
_TRUNK = (Joint.NOSE, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER)


@dataclass(frozen=True, slots=True)
class Found:
    """The person of a picture, in the picture's own pixels."""

    #: float32 (33, 4): x, y, z, visibility; joints outside of the picture are guesses.
    joints: NDArray[np.float32]
    #: float32 (H, W), 0-1.
    mask: NDArray[np.float32]
    #: bool (H, W): pixels of other people.
    others: NDArray[np.bool_] | None = None


def find_person(rgb: NDArray[np.uint8]) -> Found | None:
    """The largest person in ``rgb`` (uint8 (H, W, 3)), or None where no look finds one.

    A detector of photographs misses a drawn figure that fills its picture: so the picture is tried
    at several sizes and with air around it, with falling demands, before this gives up.
    """
    for confidence in (0.5, 0.3, 0.15):
        with PoseDetector(tracking=False, confidence=confidence) as detector:
            for view in _views(rgb):
                pose = detector.find(view.picture)
                if pose is not None and _plausible(pose, view.picture.shape):
                    return _largest(view.back(pose, rgb), rgb, detector)
    return None


def _largest(first: Found, rgb: NDArray[np.uint8], detector: PoseDetector) -> Found:
    """The largest of ``first`` and those who are found when it is painted over; the rest are the others."""
    found = [first]
    for _ in range(_OTHERS):
        known = np.max([person.mask for person in found], axis=0)
        view = next(_views(_without(rgb, known)))
        pose = detector.find(view.picture)
        if pose is None or not _plausible(pose, view.picture.shape):
            break
        if float(pose.joints[list(_TRUNK), 3].mean()) < _SURE:
            break
        other = view.back(pose, rgb)
        solid = other.mask > 0.5
        if solid.sum() < _SMALLEST * (first.mask > 0.5).sum() or (known[solid] > 0.5).mean() > _SAME:
            break
        found.append(other)
    if len(found) == 1:
        return first
    found.sort(key=lambda person: -float(person.mask.sum()))
    rest = np.max([person.mask for person in found[1:]], axis=0)
    return replace(found[0], others=np.asarray((rest > 0.3) & (rest > found[0].mask), np.bool_))


def _without(rgb: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``rgb`` with what ``mask`` shows, and a rim around it, painted over from its surroundings."""
    scale = min(1.0, _PAINTED / max(mask.shape))
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    rim = max(2, round(0.02 * max(size)))
    gone = cv2.dilate(
        np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0.2, np.uint8),
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1)),
    )
    painted = cv2.resize(cv2.inpaint(small, gone, 3, cv2.INPAINT_TELEA), mask.shape[::-1])
    over = cv2.resize(gone, mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(over[..., None] > 0, np.asarray(painted, np.uint8), rgb)


@dataclass(frozen=True, slots=True)
class _View:
    """The picture scaled by ``scale`` and set into a larger one at (left, top)."""

    picture: NDArray[np.uint8]
    scale: float
    left: int
    top: int

    def back(self, pose: Pose, rgb: NDArray[np.uint8]) -> Found:
        """``pose`` in the pixels of the original."""
        joints = pose.joints.copy()
        joints[:, :2] = (joints[:, :2] - (self.left, self.top)) / self.scale
        joints[:, 2] /= self.scale
        height, width = rgb.shape[:2]
        inner = pose.mask[
            self.top : self.top + max(1, round(height * self.scale)),
            self.left : self.left + max(1, round(width * self.scale)),
        ]
        mask = cv2.resize(inner, (width, height), interpolation=cv2.INTER_CUBIC)
        return Found(joints, refine(rgb, np.clip(mask, 0, 1).astype(np.float32), joints))


def _views(rgb: NDArray[np.uint8]) -> Iterator[_View]:
    height, width = rgb.shape[:2]
    for air in (0.0, 0.25, 0.6):
        for longest in _SIZES:
            scale = longest / max(height, width)
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = cv2.resize(rgb, size, interpolation=way)
            edge = round(air * longest)
            if edge:
                # A plain border in the picture's own border colour: a mirrored one shows a second person.
                color = [int(v) for v in np.median(np.concatenate([small[0], small[:, 0], small[:, -1]]), 0)]
                small = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=color)
            yield _View(np.asarray(small, np.uint8), scale, edge, edge)


def _plausible(pose: Pose, shape: tuple[int, ...]) -> bool:
    """Whether the trunk is seen, the right way up, large enough to measure and under the mask.

    On a drawing the detector likes to find somebody in a hand or a foot, mostly upside down or lying.
    """
    trunk = pose.joints[list(_TRUNK)]
    if float(trunk[:, 3].mean()) < 0.5:
        return False
    nose, left, right = trunk[:, :2]
    shoulders, hips = (left + right) / 2, pose.joints[[Joint.LEFT_HIP, Joint.RIGHT_HIP], :2].mean(axis=0)
    across, down = hips - shoulders
    upright = nose[1] < shoulders[1] and down > abs(across)
    wide = np.linalg.norm(left - right) > 0.01 * max(shape[:2])
    return bool(upright and wide and (pose.mask > 0.5).mean() > 0.005)
