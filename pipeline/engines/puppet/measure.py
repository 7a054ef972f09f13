"""Measures of a driver and a character: sizes, and how a face is turned."""

from __future__ import annotations

import numpy as np

from pipeline.character import Character
from pipeline.character.skeleton import Point, points_of
from pipeline.engines.base import Scene
from pipeline.engines.puppet.signals import Values, smooth
from pipeline.perception.tracks import Joint


def body_size(at: Values, seen: Values, scene: Scene) -> Values:
    """The driver's size in every frame, in lengths of the trunk; slowly changing.

    Each length tells the size where it is not foreshortened: so the largest of them does.
    """
    shoulders = np.linalg.norm(at[:, Point.LEFT_SHOULDER] - at[:, Point.RIGHT_SHOULDER], axis=1)
    trunk = np.linalg.norm(at[:, Point.NECK] - at[:, Point.PELVIS], axis=1)
    head = np.linalg.norm(at[:, Point.HEAD] - at[:, Point.NECK], axis=1)
    hips = float(np.median(seen[:, Point.PELVIS])) > 0.3
    lengths = [shoulders, head, trunk] if hips else [shoulders, head]
    usual = [max(1e-3, float(np.percentile(length, 85))) for length in lengths]
    largest = np.max([length / top for length, top in zip(lengths, usual, strict=True)], axis=0)
    unit = usual[2] if hips else 1.25 * usual[0]
    return np.maximum(unit * smooth(largest, 0.8 * scene.rate, scene.cuts), 1.0)


def picture_scale(character: Character, at: Values, seen: Values, size: Values) -> Values:
    """Pixels of the frame to one of the picture: by the longest part of the body that both show.

    ``at`` (T, 19, 2), ``seen`` (T, 19) and ``size`` (T,) are the driver's.
    """
    own = points_of(character.joints).astype(np.float64)

    def of_driver(a: int, b: int) -> float:
        return float(np.percentile(np.linalg.norm(at[:, a] - at[:, b], axis=1) / size, 75))

    def of_character(a: int, b: int) -> float:
        return max(1.0, float(np.linalg.norm(own[a, :2] - own[b, :2])))

    def ratio(a: int, b: int) -> float:
        return of_driver(a, b) / of_character(a, b)

    feet = (Point.LEFT_ANKLE, Point.RIGHT_ANKLE)
    standing = character.has_legs and (seen[:, list(feet)].max(axis=1) > 0.5).mean() > 0.3
    if standing:
        factor = float(np.mean([ratio(Point.HEAD, foot) for foot in feet]))
    elif _show_hips(character, own, seen):
        factor = 0.6 * ratio(Point.HEAD, Point.PELVIS) + 0.4 * ratio(
            Point.LEFT_SHOULDER, Point.RIGHT_SHOULDER
        )
    else:
        factor = float(
            np.sqrt(ratio(Point.HEAD, Point.NECK) * ratio(Point.LEFT_SHOULDER, Point.RIGHT_SHOULDER))
        )
    return np.asarray(size * factor, np.float64)


def _show_hips(character: Character, own: Values, seen: Values) -> bool:
    inside = float(own[Point.PELVIS, 1]) < character.size[1]
    driver = float(np.median(seen[:, Point.PELVIS])) > 0.4
    return bool(inside and driver and own[Point.PELVIS, 3] > 0.4)


def face_turn(joints: Values) -> Values:
    """(T, 2): where the nose is between the ears, to the right and down, over the head's depth."""
    ears = joints[:, [Joint.LEFT_EAR, Joint.RIGHT_EAR], :2]
    eyes = joints[:, [Joint.LEFT_EYE, Joint.RIGHT_EYE], :2]
    level = eyes[:, 0] - eyes[:, 1]
    angle = np.arctan2(level[:, 1], np.maximum(np.abs(level[:, 0]), 1e-3))
    offset = joints[:, Joint.NOSE, :2] - ears.mean(axis=1)
    cos, sin = np.cos(angle), np.sin(angle)
    across = cos * offset[:, 0] + sin * offset[:, 1]
    down = cos * offset[:, 1] - sin * offset[:, 0]
    apart = np.linalg.norm(ears[:, 0] - ears[:, 1], axis=1)
    depth = np.maximum(np.hypot(apart, 1.2 * across), 1e-3)
    return np.stack([across / depth, down / depth], axis=1)
