"""Where a body stands in the frame: never in mid-air, and with its head on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.character import Character
from pipeline.character.skeleton import Point, points_of
from pipeline.engines.base import Scene
from pipeline.engines.puppet.performance import Performance

#: A body whose feet are the driver's in more than this share stands on their ground.
_STANDS = 0.3


def crowned(joints: NDArray[np.float32]) -> bool:
    """Whether the driver's whole head is in nearly all frames: then so is the character's."""
    points = points_of(joints)
    head, neck = points[:, Point.HEAD, :2], points[:, Point.NECK, :2]
    # From ears to crown it is about four fifths of the way from ears to shoulders.
    tops = head[:, 1] - 0.8 * np.linalg.norm(head - neck, axis=1)
    return len(tops) > 0 and float(np.percentile(tops, 10)) > 0


def place(character: Character, performance: Performance, scene: Scene, crowned: bool) -> Performance:
    """A body that its picture cuts off must reach the frame's lower edge, or the desk, in every frame.

    It is enlarged around its head until it does in nearly all frames, but not so that its crown leaves
    the frame; then it is lowered. ``crowned`` heads are lowered into the frame, too, also those of whole
    bodies whose driver shows no feet.
    """
    present = performance.present
    if not present.any():
        return performance
    bottom = scene.size[1] if scene.ledge is None else scene.ledge
    points, scale = performance.points, performance.scale
    head, neck = points[:, Point.HEAD], points[:, Point.NECK]
    own = points_of(character.joints)
    crown = scale * (float(own[Point.HEAD, 1]) - _crown(character))
    if character.cut is None:
        # On the driver's ground a whole body stays where it stands; without one nothing holds it up there.
        if not crowned or performance.grounded[present].mean() > _STANDS:
            return performance
        over = max(0.0, float(np.percentile((crown - head[:, 1])[present], 95)))
        return replace(performance, points=points + np.array([0.0, over]))
    # The layers go on below the cut by a third of the picture; a leaning body needs a tenth of it.
    below = scale * (character.cut + 0.25 * character.size[1] - float(own[Point.NECK, 1]))
    wanted = (bottom - head[:, 1]) / np.maximum(neck[:, 1] + below - head[:, 1], 1.0)
    room = float(np.percentile((head[:, 1] / np.maximum(crown, 1.0))[present], 5))
    factor = float(np.clip(np.percentile(wanted[present], 98), 1.0, np.clip(room, 1.0, 1.8)))
    points = head[:, None] + factor * (points - head[:, None])
    lowest = points[:, Point.NECK, 1] + factor * below
    drop = max(0.0, float(np.percentile(bottom - lowest[present], 98)))
    if crowned:
        drop = max(drop, float(np.percentile((factor * crown - head[:, 1])[present], 95)))
    return replace(performance, points=points + np.array([0.0, drop]), scale=scale * factor)


def _crown(character: Character) -> float:
    """The picture's row at which the head begins."""
    head = next(layer for layer in character.layers if layer.name == "head")
    rows = np.flatnonzero((head.rgba[..., 3] > 127).any(axis=1))
    return float(head.top + (rows[0] if len(rows) else 0))
