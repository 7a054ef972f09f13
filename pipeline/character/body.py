"""What of a body its picture shows, and the shapes that its parts are sown with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character.skeleton import ARM, LEG, SIDE, Floats, Point, body_unit

Mask = NDArray[np.bool_]

_SURE = 0.5
#: Within this difference fingers have the colour of their hand.
_SAME_COLOR = 34.0


@dataclass(frozen=True, slots=True)
class Body:
    """What of the body is in the picture."""

    points: Floats
    unit: float
    #: Left, right.
    arms: tuple[bool, bool]
    forearms: tuple[bool, bool]
    legs: bool


def survey(points: Floats, alpha: Floats) -> Body:
    """Which limbs ``alpha`` shows well enough to be moved on their own.

    A body that goes on past the picture does so where ``alpha`` touches its edge.
    """
    height, width = alpha.shape
    solid = cv2.dilate(np.asarray(alpha > _SURE, np.uint8), np.ones((9, 9), np.uint8))

    def seen(point: int, least: float) -> bool:
        x, y, _, visibility = points[point]
        if not (0 <= x < width and 0 <= y < height and visibility > least):
            return False
        return bool(solid[int(y), int(x)])

    def aside(point: int) -> bool:
        # In a picture of a face alone, detectors see elbows in the eyes.
        head, neck = points[Point.HEAD, :2], points[Point.NECK, :2]
        return bool(np.linalg.norm(points[point, :2] - head) > np.linalg.norm(neck - head))

    def clear(point: int) -> bool:
        # An arm that the picture's edge cuts off has its wrist guessed there: a stump is no forearm.
        near = capsule(alpha.shape, points[point], points[point], 0.1 * body_unit(points)) & (alpha > _SURE)
        return not bool(near[0].any() or near[-1].any() or near[:, 0].any() or near[:, -1].any())

    arms = tuple(seen(ARM[0] + s, 0.4) and seen(ARM[1] + s, 0.3) and aside(ARM[1] + s) for s in (0, SIDE))
    forearms = tuple(
        arm and seen(ARM[2] + s, 0.3) and aside(ARM[2] + s) and clear(ARM[2] + s)
        for arm, s in zip(arms, (0, SIDE), strict=True)
    )
    legs = all(seen(point + s, 0.4) for point in LEG[:3] for s in (0, SIDE))
    return Body(
        points,
        body_unit(points),
        (arms[0], arms[1]),
        (forearms[0], forearms[1]),
        legs and not _skirted(points, alpha),
    )


def _skirted(points: Floats, alpha: Floats) -> bool:
    """Whether one piece of cloth hangs around both legs: cut between them, it would tear."""
    knees = points[[Point.LEFT_KNEE, Point.RIGHT_KNEE], :2]
    hips = points[[Point.LEFT_HIP, Point.RIGHT_HIP], :2]
    apart = abs(float(knees[0, 0] - knees[1, 0]))
    if apart < 0.12 * body_unit(points):
        return False
    middle = 0.15 * hips.mean(axis=0) + 0.85 * knees.mean(axis=0)
    row, left, right = int(middle[1]), int(middle[0] - 0.4 * apart), int(middle[0] + 0.4 * apart)
    strip = alpha[max(0, row - 1) : row + 2, max(0, left) : right + 1]
    return bool(strip.size and strip.min() > _SURE)


def capsule(shape: tuple[int, ...], a: Floats, b: Floats, radius: float) -> Mask:
    """The pixels no farther than ``radius`` from the line between two points."""
    canvas = np.zeros(shape, np.uint8)
    start, stop = ([int(v) for v in np.rint(p[:2])] for p in (a, b))
    cv2.line(canvas, start, stop, [1], max(1, round(2 * radius)), cv2.LINE_8)
    return np.asarray(canvas, np.bool_)


def joined(start: Mask, region: Mask) -> Mask:
    """The pieces of ``region`` that ``start`` touches."""
    _, labels = cv2.connectedComponents(np.asarray(region, np.uint8), connectivity=4)
    held = np.unique(labels[start & region])
    return np.isin(labels, held[held > 0])


def like(lab: Floats, known: Mask, other: Mask) -> Mask:
    """The pixels of ``other`` that have about the colour of ``known``."""
    if not known.any():
        return other
    # Light and shade on a hand differ more than what separates it from other things does in hue.
    away = (lab - np.median(lab[known], axis=0)) * np.array([0.45, 1, 1], np.float32)
    return np.asarray(other & (np.linalg.norm(away, axis=-1) < _SAME_COLOR), np.bool_)
