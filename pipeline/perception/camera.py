"""How the camera moves, from points of the scene outside of the people.

Each frame is matched with an anchor frame, not with the frame before it: so errors do not add up
while the anchor lasts, and a camera that stands still gives exactly the identity.
"""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: Points that move less than this (pixels of the small frame, median) stand still.
_STILL = 0.15
#: A point so near to where a movement puts it agrees with it; and one that helps to find a movement.
_NEAR, _INLIER = 1.5, 1.0
#: A freer movement is believed where it leaves less than this share of what a simpler one leaves.
_GAIN = 0.8
#: What is left unexplained below this (median, pixels) is the tracker's own noise.
_EXPLAINED = 0.06
#: The share that is said to agree with a camera that stands still, at least.
_HELD = 0.6
#: Columns and rows of parts of the picture, and points kept in each.
_CELLS, _IN_CELL = (10, 6), 6
#: Fewer points than this say nothing about a camera.
_FEWEST = 16
#: Where there is nothing to hold on to, it is looked for again every so many frames: looking costs.
_LOOK_AGAIN = 6


class CameraTracker:
    """Gives for each frame the homography from its pixels to those of the first frame fed.

    Where the scene says nothing (a bare wall, a person who fills the frame) the camera is taken to
    have stayed where it was.
    """

    def __init__(self) -> None:
        self._anchor: NDArray[np.uint8] | None = None
        self._points = np.zeros((0, 2), np.float32)
        self._anchored: Matrix = np.eye(3)  # anchor -> first frame
        self._step: Matrix = np.eye(3)  # anchor -> this frame
        self._blind = 0  # frames for which the scene has said nothing

    def __call__(self, rgb: NDArray[np.uint8], person: NDArray[np.float32] | None, cut: bool) -> Matrix:
        """The next frame; ``person`` is its mask, ``cut`` whether it begins a shot."""
        gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        free = _free(gray, person)
        if self._anchor is None or cut:
            # What lies beyond a cut has no place in the old frame: the new shot starts where that stood.
            self._anchor_at(gray, free)
            return self._anchored.copy()
        self._blind = 0 if len(self._points) >= _FEWEST else self._blind + 1
        if self._blind % _LOOK_AGAIN:
            return self._anchored @ np.linalg.inv(self._step)
        step, share = self._match(gray, free)
        if step is not None:
            self._step = step
        here: Matrix = self._anchored @ np.linalg.inv(self._step)
        if step is None or share < 0.5 or _shift(self._step, gray.shape) > 0.25 * max(gray.shape):
            self._anchor_at(gray, free)
        return here

    def _anchor_at(self, gray: NDArray[np.uint8], free: NDArray[np.uint8]) -> None:
        self._anchored = self._anchored @ np.linalg.inv(self._step)
        self._step = np.eye(3)
        self._anchor = gray
        distance = max(4, round(min(gray.shape) / 40))
        # The scene right behind the person is what the plate is for; a caption or a distant screen
        # elsewhere may stand still while the camera moves.
        for region in (free & _around(free), free):
            points = cv2.goodFeaturesToTrack(gray, 400, 0.004, distance, mask=region)
            self._points = _spread(np.float32(() if points is None else points).reshape(-1, 2), gray.shape)
            if len(self._points) >= 3 * _FEWEST:
                break

    def _match(self, gray: NDArray[np.uint8], free: NDArray[np.uint8]) -> tuple[Matrix | None, float]:
        """The homography from the anchor to ``gray`` and the share of points that agree with it."""
        assert self._anchor is not None
        if len(self._points) < _FEWEST:
            return None, 0.0
        guess = cv2.perspectiveTransform(self._points[None], self._step)[0].astype(np.float32)
        moved, status, _ = cv2.calcOpticalFlowPyrLK(
            self._anchor,
            gray,
            self._points,
            guess,
            winSize=(15, 15),
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.03),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        height, width = gray.shape
        inside = ((moved >= 0) & (moved < (width, height))).all(axis=1)
        at = np.clip(moved.astype(int), 0, (width - 1, height - 1))
        good = (status.ravel() == 1) & inside & (free[at[:, 1], at[:, 0]] > 0)
        if good.sum() < _FEWEST:
            return None, 0.0
        old, new = self._points[good], moved[good]
        matrix, agree = _fit(old, new)
        if agree < 0.5 or not _plausible(matrix, gray.shape):
            return None, 0.0
        return matrix, float(good.mean()) * agree


def _fit(old: NDArray[np.float32], new: NDArray[np.float32]) -> tuple[Matrix, float]:
    """The simplest movement that explains the points, and the share of them that agree with it.

    A homography that is free to bend bends to noise, and to whatever else moves; it is taken only
    where it leaves clearly less unexplained than a turn and zoom do, and these where a plain shift does.
    """
    step = np.median(new - old, axis=0).astype(np.float64)
    if np.linalg.norm(step) < _STILL:
        step[:] = 0
    matrix = np.array([[1, 0, step[0]], [0, 1, step[1]], [0, 0, 1]])
    left = _left(matrix, old, new)
    # Each is searched for only where the simpler ones leave something to explain: a search costs.
    for search in (_turned, _bent):
        if np.median(left) < _EXPLAINED:
            break
        freer = search(old, new)
        if freer is None or not np.isfinite(freer).all():
            continue
        moves = np.linalg.norm(_moved(freer, old) - _moved(matrix, old), axis=1).max()
        unexplained = _left(freer, old, new)
        if moves > _STILL and np.median(unexplained) < _GAIN * np.median(left):
            matrix, left = freer, unexplained
    # What stands still though much else moves (a screen, a crowd, captions) is the scene.
    stands = np.linalg.norm(new - old, axis=1)
    if (stands < _STILL).sum() > 0.5 * (left < _STILL).sum():
        matrix, left = np.eye(3), stands.astype(np.float64)
        return matrix, float(max((left < _NEAR).mean(), _HELD))
    return matrix, float((left < _NEAR).mean())


def _turned(old: NDArray[np.float32], new: NDArray[np.float32]) -> Matrix | None:
    found, _ = cv2.estimateAffinePartial2D(old, new, method=cv2.RANSAC, ransacReprojThreshold=_INLIER)
    return None if found is None else np.vstack([found, (0, 0, 1)]).astype(np.float64)


def _bent(old: NDArray[np.float32], new: NDArray[np.float32]) -> Matrix | None:
    found, _ = cv2.findHomography(old, new, cv2.RANSAC, _INLIER, maxIters=200)
    return None if found is None else np.asarray(found, np.float64)


def _spread(points: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The best of ``points`` (best first) in each part of the picture.

    The strongest corners of all may lie together on one thing, and that may be what moves.
    """
    cells = (points * (_CELLS / np.array(shape[1::-1]))).astype(int)
    seen: Counter[tuple[int, ...]] = Counter()
    kept = []
    for place, cell in enumerate(map(tuple, cells)):
        seen[cell] += 1
        if seen[cell] <= _IN_CELL:
            kept.append(place)
    return points[kept]


def _moved(matrix: Matrix, points: NDArray[np.float32]) -> Matrix:
    return np.asarray(cv2.perspectiveTransform(points[None].astype(np.float64), matrix)[0], np.float64)


def _left(matrix: Matrix, old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each point is from where ``matrix`` puts it."""
    return np.asarray(np.linalg.norm(_moved(matrix, old) - new, axis=1), np.float64)


def shift(matrix: Matrix, width: int, height: int) -> float:
    """The farthest that ``matrix`` moves a corner of a frame, in pixels."""
    corners = np.array([[[0, 0], [width, 0], [0, height], [width, height]]], np.float64)
    return float(np.linalg.norm(cv2.perspectiveTransform(corners, matrix) - corners, axis=2).max())


def scaled(matrix: Matrix, factor_x: float, factor_y: float) -> Matrix:
    """``matrix`` as it is in pixels of a picture so many times as large."""
    size = np.diag([factor_x, factor_y, 1.0])
    return np.asarray(size @ matrix @ np.linalg.inv(size), np.float64)


def _shift(matrix: Matrix, shape: tuple[int, ...]) -> float:
    return shift(matrix, shape[1], shape[0])


def _plausible(matrix: Matrix, shape: tuple[int, ...]) -> bool:
    """No camera doubles the picture or turns it inside out between an anchor and its frames."""
    if not np.isfinite(matrix).all() or abs(matrix[2, 2]) < 1e-9:
        return False
    scale = np.linalg.det(matrix[:2, :2] / matrix[2, 2])
    return bool(0.4 < scale < 2.5 and _shift(matrix, shape) < max(shape))


def _free(gray: NDArray[np.uint8], person: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    """255 where points of the scene may be looked for: well away from the person."""
    if person is None:
        return np.full(gray.shape, 255, np.uint8)
    reach = 2 * max(2, round(min(gray.shape) / 40)) + 1
    grown = cv2.dilate((person > 0.2).astype(np.uint8), np.ones((reach, reach), np.uint8))
    return np.asarray(np.where(grown > 0, 0, 255), np.uint8)


def _around(free: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """255 within a third of the frame's height of what is not ``free``."""
    reach = max(1, round(free.shape[0] / 3))
    distance = cv2.distanceTransform(free, cv2.DIST_L2, 3)
    return np.asarray(np.where(distance < reach, 255, 0), np.uint8)
