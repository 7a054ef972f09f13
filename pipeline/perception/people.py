"""Everybody in a video, look by look: one tracker a person, and a search for those not yet known.

The detector follows one person. So each tracker sees the frame without the people in front of its
own, and the search sees it without everybody who is known. Numbers (slots) are given once and never
again until the next piece: whether two of them are the same person is decided over the whole video.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.base import Pose
from pipeline.perception.bodies import apart, box_of, in_front, outline, size_of
from pipeline.perception.pose import PoseDetector
from pipeline.perception.tracks import Joint

Frame = NDArray[np.uint8]
Mask = NDArray[np.float32]
#: Left, top, right, bottom.
Box = tuple[int, int, int, int]

#: Trackers at once, and numbers in a piece: mattes have a byte for them.
_MOST_PEOPLE, _MOST_SLOTS = 4, 250
#: Every so many looks there is a search, through the whole frame or one part of it.
_SEARCH_EVERY = 3
#: Parts of a frame that are searched one by one.
_MOST_VIEWS = 8
#: People are painted over in squares of so many pixels.
_COARSE = 8
#: A tracker that has seen nobody for so many looks has lost them; behind somebody else they may come out.
_PATIENCE, _PATIENCE_HIDDEN = 3, 22
#: Of two masks one of which lies so far in the other, one is a mistake; and trunks so near are one.
_SAME_MASK, _SAME_TRUNK = 0.55, 0.3
#: A newcomer's trunk must be seen so surely, and be so large beside the frame's shorter side.
_SURE, _SMALLEST = 0.65, 0.06
_TRUNK = [Joint.NOSE, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER]


@dataclass(slots=True)
class _Tracker:
    """One person's own detector and the part of the frame it is shown."""

    slot: int
    detector: PoseDetector
    window: Box
    pose: Pose
    missed: int = 0


@dataclass(slots=True)
class PeopleFinder:
    """Finds everybody in the frames of a video, which are to be given in order. Close it."""

    _trackers: list[_Tracker] = field(default_factory=list)
    _spare: list[PoseDetector] = field(default_factory=list)
    _slots: int = 0
    _looks: int = 0

    def look(self, rgb: Frame) -> dict[int, Pose]:
        """Who is where in ``rgb``, by slot, the nearest first; all in the frame's pixels."""
        seen: dict[int, Pose] = {}
        for tracker in self._nearest_first():
            pose = self._follow(tracker, rgb, seen)
            tracker.missed = 0 if pose else tracker.missed + 1
            if pose:
                if any(_touch(pose, other.pose) for other in self._trackers if other is not tracker):
                    pose = _alone(pose)
                tracker.pose = seen[tracker.slot] = pose
        for tracker in list(self._trackers):
            hidden = any(_touch(tracker.pose, pose) for pose in seen.values())
            if tracker.missed > (_PATIENCE_HIDDEN if hidden else _PATIENCE):
                self._drop(tracker)
        self._search(rgb, seen)
        self._looks += 1
        return seen

    def reset(self, *, piece: bool = False) -> None:
        """Forget everybody: another shot begins, or another ``piece``, in which numbers start anew."""
        for tracker in list(self._trackers):
            self._drop(tracker)
        self._looks = 0
        if piece:
            self._slots = 0

    def close(self) -> None:
        """Give the detectors back."""
        for detector in [*self._spare, *(tracker.detector for tracker in self._trackers)]:
            detector.close()

    def _drop(self, tracker: _Tracker) -> None:
        tracker.detector.reset()
        self._spare.append(tracker.detector)
        self._trackers.remove(tracker)

    def _nearest_first(self) -> list[_Tracker]:
        """Trackers in order of depth; there are few, so a bubble per pair will do."""
        order = list(self._trackers)
        for end in range(len(order) - 1, 0, -1):
            for i in range(end):
                if in_front(order[i + 1].pose.joints, order[i].pose.joints) > 0:
                    order[i], order[i + 1] = order[i + 1], order[i]
        return order

    def _follow(self, tracker: _Tracker, rgb: Frame, seen: dict[int, Pose]) -> Pose | None:
        near = [pose.mask for pose in seen.values() if _touch(pose, tracker.pose)]
        pose = _within(tracker.detector, without(rgb, near) if near else rgb, tracker.window)
        if pose is None:
            return None
        if (
            any(_same(pose, other) for other in seen.values())
            or apart(pose.joints, tracker.pose.joints) > 1.5
        ):
            # It slipped to somebody else: looking anew, it finds its own again when they come out.
            tracker.detector.reset()
            return None
        window = _window(pose, tracker.window, rgb.shape)
        if window != tracker.window:
            tracker.window = window
            tracker.detector.reset()
        return pose

    def _search(self, rgb: Frame, seen: dict[int, Pose]) -> None:
        """Look for people who are not known; all through the frame at first, later a part at a time."""
        views = list(_views(rgb.shape))
        if self._looks:
            if seen and self._looks % _SEARCH_EVERY:
                return
            turn = self._looks // _SEARCH_EVERY
            # Most are found in the whole frame: every other search looks there.
            views = [
                views[0] if turn % 2 == 0 or len(views) == 1 else views[1 + turn // 2 % (len(views) - 1)]
            ]
        for view in views:
            while len(self._trackers) < _MOST_PEOPLE and self._slots < _MOST_SLOTS:
                # Who is lost for the moment is not searched for twice: their tracker goes on looking.
                if not self._found(rgb, view, seen):
                    break

    def _found(self, rgb: Frame, view: Box, seen: dict[int, Pose]) -> bool:
        detector = self._spare.pop() if self._spare else PoseDetector(tracking=True)
        pose = _within(detector, without(rgb, [each.mask for each in seen.values()]) if seen else rgb, view)
        if pose is None:
            self._spare.append(detector)
            return False
        lost = [tracker for tracker in self._trackers if tracker.slot not in seen]
        mistaken = any(_same(pose, other) for other in seen.values())
        # The first in the whole frame may be half in it, or seen from behind; beside others, and in a part
        # of the frame, a find is soon a mistake.
        first = not seen and view == (0, 0, rgb.shape[1], rgb.shape[0])
        if mistaken or not (first or _believable(pose, rgb.shape)):
            detector.reset()
            self._spare.append(detector)
            return False
        for tracker in lost:
            if apart(pose.joints, tracker.pose.joints) < 1.0:
                self._drop(tracker)  # the newcomer is who was lost: the join will see to the name
        window = _window(pose, view, rgb.shape)
        if window != view:
            detector.reset()
        seen[self._slots] = pose
        self._trackers.append(_Tracker(self._slots, detector, window, pose))
        self._slots += 1
        return True


def _alone(pose: Pose) -> Pose:
    """``pose`` with a mask of its own body only: beside others the detector's takes theirs in, too."""
    own = outline(pose.joints, pose.mask.shape, 0.5)
    return Pose(pose.joints, np.where(own > 0, pose.mask, np.float32(0)))


def without(rgb: Frame, masks: Iterable[Mask]) -> Frame:
    """``rgb`` with the people of ``masks`` (H, W) painted over by what is around them, all edges gone."""
    height, width = rgb.shape[:2]
    size = max(1, width // _COARSE), max(1, height // _COARSE)
    hidden = np.zeros(size[::-1], np.float32)
    for mask in masks:
        hidden = np.maximum(hidden, cv2.resize(mask, size, interpolation=cv2.INTER_AREA))
    gone = np.asarray(cv2.dilate(hidden, np.ones((3, 3), np.uint8)) > 0.1, np.uint8)
    x, y, across, down = cv2.boundingRect(gone)
    if not across:
        return rgb
    known = 1 - gone.astype(np.float32)
    color = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) * known[..., None]
    sigma = max(size) / 12
    color, weight = cv2.GaussianBlur(color, (0, 0), sigma), cv2.GaussianBlur(known, (0, 0), sigma)
    around = np.clip(color / np.maximum(weight, 1e-3)[..., None], 0, 255).astype(np.uint8)
    part = (
        slice(y * height // size[1], (y + down) * height // size[1]),
        slice(x * width // size[0], (x + across) * width // size[0]),
    )
    over = cv2.resize(gone, (width, height), interpolation=cv2.INTER_NEAREST)[part]
    painted = rgb.copy()
    smooth = cv2.resize(
        around[y : y + down, x : x + across], over.shape[::-1], interpolation=cv2.INTER_LINEAR
    )
    cv2.copyTo(smooth, over, painted[part])
    return painted


def _within(detector: PoseDetector, rgb: Frame, window: Box) -> Pose | None:
    """The person in a part of the frame, in the frame's pixels."""
    left, top, right, bottom = window
    height, width = rgb.shape[:2]
    pose = detector.find(rgb[top:bottom, left:right])
    if pose is None or (left, top, right, bottom) == (0, 0, width, height):
        return pose
    joints = pose.joints + np.array([left, top, 0, 0], np.float32)
    mask = np.zeros((height, width), np.float32)
    mask[top:bottom, left:right] = pose.mask
    return Pose(joints, mask)


def _window(pose: Pose, now: Box, shape: tuple[int, ...]) -> Box:
    """The part of the frame to follow a person in: the same as ``now`` while that fits.

    Somebody small is shown larger; somebody who comes to its edge gets another.
    """
    height, width = shape[:2]
    left, top, right, bottom = box_of(pose.joints)
    left, top, right, bottom = max(0.0, left), max(0.0, top), min(width, right), min(height, bottom)
    inside = all(
        edge in (0, limit) or distance > 0
        for edge, limit, distance in (
            *((now[0], 0, left - now[0]), (now[1], 0, top - now[1])),
            *((now[2], width, now[2] - right), (now[3], height, now[3] - bottom)),
        )
    )
    size = max(right - left, bottom - top)
    shown = max(now[2] - now[0], now[3] - now[1])
    if inside and (size > 0.3 * shown or shown <= min(height, width) / 2):
        return now
    side = max(1.7 * size, min(height, width) / 2, 4)
    # Of somebody who has left the frame the detector may have joints beyond it: the window stays in it.
    x, y = min(width, (left + right) / 2), min(height, (top + bottom) / 2)
    x, y = max(0.0, x), max(0.0, y)
    return (
        *(round(max(0.0, x - side / 2)), round(max(0.0, y - side / 2))),
        *(round(min(width, x + side / 2)), round(min(height, y + side / 2))),
    )


def _views(shape: tuple[int, ...]) -> Iterator[Box]:
    """The whole frame, and in a wide or high one the squares along it: its people may be small."""
    height, width = shape[:2]
    yield (0, 0, width, height)
    short, long = sorted((height, width))
    if long < 1.3 * short:
        return
    count = min(_MOST_VIEWS, -(-2 * (long - short) // short) + 1)
    for i in range(count):
        at = round((long - short) * i / (count - 1))
        yield (at, 0, at + short, short) if width > height else (0, at, short, at + short)


def _touch(one: Pose, other: Pose) -> bool:
    a, b = box_of(one.joints), box_of(other.joints)
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _same(one: Pose, other: Pose) -> bool:
    """Whether two finds are one person."""
    a, b = one.mask[::4, ::4] > 0.5, other.mask[::4, ::4] > 0.5
    smaller = min(int(a.sum()), int(b.sum()))
    inside = float((a & b).sum()) / smaller if smaller else 0.0
    return inside > _SAME_MASK or apart(one.joints, other.joints) < _SAME_TRUNK


def _believable(pose: Pose, shape: tuple[int, ...]) -> bool:
    """Whether a newcomer is surely somebody: seen well, upright enough, large enough, under a mask."""
    joints = pose.joints
    height, width = shape[:2]
    if float(joints[_TRUNK, 3].min()) < _SURE or size_of(joints) < _SMALLEST * min(height, width):
        return False
    x, y = joints[_TRUNK, :2].astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    if not inside.all():
        return False
    chest = ((joints[Joint.LEFT_SHOULDER] + joints[Joint.RIGHT_SHOULDER]) / 2)[:2].astype(int)
    return bool(pose.mask[y, x].mean() > 0.4 and pose.mask[chest[1], chest[0]] > 0.5)
