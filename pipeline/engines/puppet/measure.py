"""Measures of a driver and a character: sizes, and how a face is turned."""

from __future__ import annotations

import itertools

import numpy as np

from pipeline.character import Character
from pipeline.character.skeleton import SIDE, Floats, Point, points_of
from pipeline.engines.base import Scene
from pipeline.engines.puppet.signals import Values, smooth
from pipeline.perception.face import LEFT_CHEEK, RIGHT_CHEEK
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


def picture_scale(character: Character, joints: Values, size: Values) -> Values:
    """Pixels of the frame to one of the picture: by the longest part of the body that both show.

    ``joints`` (T, 33, 4) and ``size`` (T,) are the driver's. The ways from nose to ankles, or to hips,
    are taken along the bones: a driver who crouches or stands astride is no smaller.
    """
    own = character.joints[None].astype(np.float64)
    at, picture = points_of(joints.astype(np.float32)), points_of(character.joints[None])
    seen = at[..., 3].astype(np.float64)
    feet = [Point.LEFT_ANKLE, Point.RIGHT_ANKLE]
    one = np.ones(1)
    if character.has_legs and (seen[:, feet].max(axis=1) > 0.5).mean() > 0.3:
        factor = _reach(joints, size, legs=True) / _reach(own, one, legs=True)
    elif _show_hips(character, picture[0].astype(np.float64), seen):
        factor = _reach(joints, size, legs=False) / _reach(own, one, legs=False)
    else:
        pairs = ((Point.HEAD, Point.NECK), (Point.LEFT_SHOULDER, Point.RIGHT_SHOULDER))
        ratios = [_length(at, a, b, size, 75) / max(1.0, _length(picture, a, b, one, 75)) for a, b in pairs]
        factor = float(np.sqrt(ratios[0] * ratios[1]))
    return np.asarray(size * factor, np.float64)


def _reach(joints: Values, size: Values, *, legs: bool) -> float:
    """From the nose along the bones to the hips, or to the ankles, over the body's size."""
    at = points_of(joints.astype(np.float32)).astype(np.float64)
    nose = np.linalg.norm(joints[:, Joint.NOSE, :2] - at[:, Point.NECK, :2], axis=1)
    total = float(np.median(nose / size)) + _length(at, Point.NECK, Point.PELVIS, size, 80)
    if legs:
        for start, stop in itertools.pairwise((Point.LEFT_HIP, Point.LEFT_KNEE, Point.LEFT_ANKLE)):
            # Of a pair, one may be foreshortened.
            total += max(_length(at, start + side, stop + side, size, 85) for side in (0, SIDE))
    return max(total, 1e-3)


def _length(at: Floats | Values, a: int, b: int, size: Values, percentile: int) -> float:
    return float(np.percentile(np.linalg.norm(at[:, a, :2] - at[:, b, :2], axis=1) / size, percentile))


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


def own_turn(character: Character) -> Values:
    """(2,): how far a character's face is turned to the right in its picture; down counts as usual."""
    across = float(face_turn(character.joints[None].astype(np.float64))[0, 0])
    return np.array([across, 0.0])


def own_roll(character: Character) -> float:
    """How far a character's head is tilted in its picture, radians."""
    if character.face is not None:
        level = character.face[LEFT_CHEEK] - character.face[RIGHT_CHEEK]
    else:
        level = character.joints[Joint.LEFT_EYE, :2] - character.joints[Joint.RIGHT_EYE, :2]
    return float(np.arctan2(level[1], max(float(level[0]), 1e-3)))
