"""Hands: where they point, and how far they are closed, from mediapipe's twenty-one points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.engines.base import Scene
from pipeline.engines.puppet.signals import Values, ramp, smooth, trusted
from pipeline.perception.tracks import Joint, Person

#: Points of a hand: the wrist, the knuckles from index to little finger, their tips, a joint of the thumb.
_WRIST, _KNUCKLES, _TIPS, _THUMB = 0, [5, 9, 13, 17], [8, 12, 16, 20], 3
#: Tips are so many times as far from the wrist as knuckles are: in a fist, and in a flat hand.
_FIST, _FLAT = 1.1, 1.75
#: The longest finger over the palm's width: drawn in, and out.
_FINGERS = (0.6, 1.0)
#: The pose's joints that are points of a hand, left and right.
_JOINTS = (
    {Joint.LEFT_INDEX: 5, Joint.LEFT_PINKY: 17, Joint.LEFT_THUMB: _THUMB},
    {Joint.RIGHT_INDEX: 5, Joint.RIGHT_PINKY: 17, Joint.RIGHT_THUMB: _THUMB},
)


def with_hands(person: Person) -> Person:
    """``person`` with the fingers' joints as the hands' own detector saw them, where it did."""
    if person.hands is None:
        return person
    joints = person.joints.copy()
    for side, points in enumerate(_JOINTS):
        seen = np.isfinite(person.hands[:, side]).all(axis=(1, 2)) & person.present
        for joint, point in points.items():
            joints[seen, joint, :2] = person.hands[seen, side, point]
            joints[seen, joint, 3] = 1.0
    return replace(person, joints=joints)


def opening(person: Person, scene: Scene) -> Values:
    """float64 (T, 2): how far the left and the right hand are open, 0-1; 1 where nobody looked."""
    opened = np.ones((len(person.present), 2))
    if person.hands is None:
        return opened
    hands = person.hands.astype(np.float64)
    for side in (0, 1):
        hand = hands[:, side]
        seen = np.isfinite(hand).all(axis=(1, 2)) & person.present
        hand = np.where(seen[:, None, None], hand, 0.0)
        tips, knuckles = (
            np.linalg.norm(hand[:, points] - hand[:, [_WRIST]], axis=2).mean(axis=1)
            for points in (_TIPS, _KNUCKLES)
        )
        # A flat hand that points at the camera is short, but its fingers are as long as its palm is wide.
        palm = np.linalg.norm(hand[:, _KNUCKLES[0]] - hand[:, _KNUCKLES[-1]], axis=1)
        fingers = np.linalg.norm(hand[:, _TIPS] - hand[:, _KNUCKLES], axis=2).max(axis=1)
        share = np.maximum(
            ramp(tips / np.maximum(knuckles, 1e-3), _FIST, _FLAT),
            ramp(fingers / np.maximum(palm, 1e-3), *_FINGERS),
        )
        held = trusted(share, seen.astype(np.float64), 0.15 * scene.rate, np.ones(()), scene.cuts)
        opened[:, side] = smooth(held, 0.03 * scene.rate, scene.cuts)
    return opened
