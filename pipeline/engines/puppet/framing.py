"""Where a cut-off body stands in the frame: never in mid-air, and with its head on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.character import Character
from pipeline.character.skeleton import Point, points_of
from pipeline.engines.base import Scene
from pipeline.engines.puppet.performance import Performance

#: A head that is brought into the frame keeps a little air above it, and the body this share of its size.
_AIR, _SMALLEST = 1.04, 0.65


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
    the frame; then it is lowered. ``crowned`` heads are brought into the frame, too, if no feet stand in it.
    """
    if not performance.present.any():
        return performance
    bottom = scene.size[1] if scene.ledge is None else scene.ledge
    if character.cut is None:
        return _fitted(character, performance, bottom) if crowned else performance
    points, scale = performance.points, performance.scale
    head, neck = points[:, Point.HEAD], points[:, Point.NECK]
    own = points_of(character.joints)
    # The layers go on below the cut by a third of the picture; a leaning body needs a tenth of it.
    below = scale * (character.cut + 0.25 * character.size[1] - float(own[Point.NECK, 1]))
    present = performance.present
    wanted = (bottom - head[:, 1]) / np.maximum(neck[:, 1] + below - head[:, 1], 1.0)
    crown = scale * _over_head(character)
    room = float(np.percentile((head[:, 1] / np.maximum(crown, 1.0))[present], 5))
    factor = float(np.clip(np.percentile(wanted[present], 98), 1.0, np.clip(room, 1.0, 1.8)))
    points = head[:, None] + factor * (points - head[:, None])
    lowest = points[:, Point.NECK, 1] + factor * below
    drop = max(0.0, float(np.percentile(bottom - lowest[present], 98)))
    if crowned:
        drop = max(drop, float(np.percentile((factor * crown - head[:, 1])[present], 95)))
    return replace(performance, points=points + np.array([0.0, drop]), scale=scale * factor)


def _fitted(character: Character, performance: Performance, bottom: float) -> Performance:
    """A whole body, of which the frame shows no feet, so small and so low that its head is in the frame.

    Its feet stay under the row ``bottom``: who seems to stand there would float.
    """
    points, free = performance.points, 1 - performance.grounded
    head, crown = points[:, Point.HEAD], _AIR * performance.scale * _over_head(character)
    present = performance.present
    room = np.percentile((head[:, 1] / np.maximum(crown, 1.0))[present], 5)
    feet = points[:, [Point.LEFT_ANKLE, Point.RIGHT_ANKLE], 1].min(axis=1) - head[:, 1]
    floating = np.percentile(((bottom - head[:, 1]) / np.maximum(feet, 1.0))[present], 95)
    factor = 1 - free * (1 - float(np.clip(max(room, floating), _SMALLEST, 1.0)))
    drop = free * max(0.0, float(np.percentile((factor * crown - head[:, 1])[present], 95)))
    points = head[:, None] + factor[:, None, None] * (points - head[:, None])
    points[..., 1] += drop[:, None]
    return replace(performance, points=points, scale=performance.scale * factor)


def _over_head(character: Character) -> float:
    """How far the head goes on above its middle, in the picture's pixels."""
    head = next(layer for layer in character.layers if layer.name == "head")
    rows = np.flatnonzero((head.rgba[..., 3] > 127).any(axis=1))
    top = float(head.top + (rows[0] if len(rows) else 0))
    return float(points_of(character.joints)[Point.HEAD, 1]) - top
