"""Which pixel of a character belongs to which part of its body.

Each part is sown where it surely is (a core around its bone); every other pixel goes to the part it
is nearest to, walking inside the character, where a step over an edge of the picture costs more: so
the borders between parts fall on the line between a sleeve and a coat.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from pipeline.character.body import Body, Mask, capsule, joined, like
from pipeline.character.skeleton import ARM, LEG, SIDE, Floats, Point
from pipeline.character.tidy import bare_hand, in_one_piece, with_hair, without_crumbs
from pipeline.perception.tracks import Joint

#: Radii in body units.
_ARM_CORE, _HAND_CORE, _LEG_CORE = 0.07, 0.05, 0.09
#: The trunk's core keeps so far away from the arms' bones.
_ARM_KEEP = 0.15
#: The graph on which parts grow has so many pixels along its longer side.
_GRID = 320
#: What a step across a difference of 1 in CIELAB (0-255) costs, in body units.
_COLOR_COST = 0.007
#: A greater difference is no clearer an edge: curls and stripes would be walls.
_CLEAR_EDGE = 40.0
#: Beyond this distance from its bone (body units) an arm pays for every unit that it grows on.
_SLEEVE, _OFF_BONE = 0.17, 1.2
#: A wide sleeve reaches so far from its bone, and is told by its colour unless so much of the trunk has it.
_PUFFED, _OWN_COLOR = 0.4, 0.35


def label_parts(rgb: NDArray[np.uint8], alpha: Floats, body: Body, joints: Floats) -> dict[str, Mask]:
    """The pixels of each part that can be seen, by layer name; together they are the character."""
    shape = (alpha.shape[0], alpha.shape[1])
    solid = alpha > 0.02
    smooth = cv2.bilateralFilter(rgb, 5, 25, 3)
    lab = np.asarray(cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB), np.float32)
    cores = _cores(shape, lab, body, joints)
    scale = min(1.0, _GRID / max(shape))
    size = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    small = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(np.asarray(solid, np.float32), size, interpolation=cv2.INTER_AREA) > 0.2
    steps = _steps(small, inside, body.unit * scale)
    number = np.cumsum(inside.ravel()) - 1
    best, winner = np.full(shape, np.inf, np.float32), np.zeros(shape, np.int32)
    for i, (name, core) in enumerate(cores.items()):
        sown = cv2.resize(np.asarray(core, np.float32), size, interpolation=cv2.INTER_AREA) > 0.3
        far = _distances(steps, number, sown & inside, inside)
        if name.endswith("arm"):
            far += _OFF_BONE * np.maximum(_bone_distance(name, size, body, scale) - _SLEEVE, 0)
        # The nearest of smoothly enlarged distances has smooth borders; enlarged labels would have steps.
        full = cv2.resize(far, shape[::-1], interpolation=cv2.INTER_LINEAR)
        better = full < best
        best[better], winner[better] = full[better], i
    parts = without_crumbs({name: solid & (winner == i) for i, name in enumerate(cores)}, body.unit)
    for name in [name for name in parts if name.endswith("forearm")]:
        parts = bare_hand(name, parts, lab, body)
    return in_one_piece(with_hair(parts, cores, rgb, body), cores)


def _steps(small: cv2.typing.MatLike, inside: Mask, unit: float) -> scipy.sparse.csr_matrix:
    """The graph of neighbouring pixels: a step costs its length and the change of colour on it."""
    index = np.full(inside.shape, -1, np.int64)
    index[inside] = np.arange(int(inside.sum()))
    color = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32)
    rows, columns, costs = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        height, width = inside.shape
        here = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
        there = (slice(dy, height), slice(max(0, dx), width - max(0, -dx)))
        both = inside[here] & inside[there]
        change = np.minimum(np.linalg.norm(color[here] - color[there], axis=-1)[both], _CLEAR_EDGE)
        rows.append(index[here][both])
        columns.append(index[there][both])
        costs.append(float(np.hypot(dx, dy)) / unit + change * _COLOR_COST)
    count = int(inside.sum())
    edges = (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns)))
    return scipy.sparse.csr_matrix(edges, shape=(count, count))


def _distances(steps: scipy.sparse.csr_matrix, number: NDArray[np.int64], sown: Mask, inside: Mask) -> Floats:
    """How far each pixel is from ``sown``, walking inside the character; across gaps only at a price."""
    straight = cv2.distanceTransform(np.asarray(~sown, np.uint8), cv2.DIST_L2, 5)
    far = np.asarray(100 + straight, np.float32)
    if sown.any():
        sources = number.reshape(inside.shape)[sown]
        walked = scipy.sparse.csgraph.dijkstra(steps, directed=False, indices=sources, min_only=True)
        reached = np.where(np.isfinite(walked), walked, far[inside])
        far[inside] = reached
    return far


def _bone_distance(name: str, size: tuple[int, int], body: Body, scale: float) -> Floats:
    """How far each pixel is from the bones of an arm's part, in body units."""
    shift = 0 if name.startswith("left") else SIDE
    shoulder, elbow, wrist, hand = (body.points[p + shift] * scale for p in ARM)
    if name.endswith("upper_arm"):
        line = capsule(size[::-1], shoulder, elbow, 0.5)
    else:
        tip = hand + 1.1 * (hand - wrist)
        line = capsule(size[::-1], elbow, wrist, 0.5) | capsule(size[::-1], wrist, tip, 0.5)
    distance = cv2.distanceTransform(np.asarray(~line, np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance / (body.unit * scale), np.float32)


def _cores(shape: tuple[int, int], lab: Floats, body: Body, joints: Floats) -> dict[str, Mask]:
    """Where each part surely is; nearer parts have been taken out of those behind them."""
    points, unit = body.points, body.unit
    arms: dict[str, Mask] = {}
    keep = np.zeros(shape, bool)
    for side, shift, arm, forearm in zip(("left", "right"), (0, SIDE), body.arms, body.forearms, strict=True):
        if not arm:
            continue
        shoulder, elbow, wrist, hand = (points[p + shift] for p in ARM)
        outward = shoulder + 0.12 * (elbow - shoulder)
        arms[f"{side}_upper_arm"] = capsule(shape, outward, elbow, _ARM_CORE * unit)
        keep |= capsule(shape, shoulder, elbow, _ARM_KEEP * unit)
        if forearm:
            core = capsule(shape, elbow + 0.25 * (wrist - elbow), wrist, _ARM_CORE * unit)
            tip = hand + 1.1 * (hand - wrist)
            palm = capsule(shape, wrist, hand, _HAND_CORE * unit)
            # Straight on from the knuckles there are fingers, or trousers that a fist lies on.
            fingers = capsule(shape, hand, tip, _HAND_CORE * unit)
            arms[f"{side}_forearm"] = core | joined(palm, palm | like(lab, palm, fingers))
            keep |= capsule(shape, elbow, wrist, _ARM_KEEP * unit) | capsule(shape, wrist, tip, 0.11 * unit)
    trunk = _trunk(shape, body) & ~keep
    for name in [name for name in arms if name.endswith("forearm")]:
        trunk &= ~_wide_sleeve(name, arms[name], trunk, lab, body)
    cores = {"torso": trunk, "head": _face(shape, points, joints)}
    if body.legs:
        for side, shift in (("left", 0), ("right", SIDE)):
            hip, knee, ankle, toe = (points[p + shift] for p in LEG)
            cores[f"{side}_thigh"] = (
                capsule(shape, hip + 0.45 * (knee - hip), knee + 0.1 * (hip - knee), _LEG_CORE * unit) & ~keep
            )
            shin = capsule(shape, knee + 0.2 * (ankle - knee), ankle, 0.6 * _LEG_CORE * unit)
            cores[f"{side}_shin"] = (shin | capsule(shape, ankle, toe, 0.06 * unit)) & ~keep
    # A forearm lies over everything, an upper arm over all but forearms.
    depth = {"left": float(points[Point.LEFT_WRIST, 2]), "right": float(points[Point.RIGHT_WRIST, 2])}
    for name in sorted(arms, key=lambda name: (name.endswith("forearm"), -depth[name.split("_")[0]])):
        cores = {other: core & ~arms[name] for other, core in cores.items()}
        cores[name] = arms[name]
    return {name: core for name, core in cores.items() if core.any()}


def _wide_sleeve(name: str, core: Mask, trunk: Mask, lab: Floats, body: Body) -> Mask:
    """What of the trunk's core is a forearm's sleeve by its colour, where the trunk has another."""
    shift = 0 if name.startswith("left") else SIDE
    elbow, wrist = body.points[ARM[1] + shift], body.points[ARM[2] + shift]
    near = capsule(core.shape, elbow, wrist, _PUFFED * body.unit) & trunk
    if not near.any() or like(lab, core, trunk).sum() > _OWN_COLOR * trunk.sum():
        return np.zeros_like(trunk)
    return like(lab, core, near)


def _trunk(shape: tuple[int, int], body: Body) -> Mask:
    """The trunk's core: shoulders to hips, and on to the picture's edge where no legs are driven."""
    points, unit = body.points, body.unit
    left, right = points[Point.LEFT_SHOULDER, :2], points[Point.RIGHT_SHOULDER, :2]
    hips = points[Point.PELVIS, :2]
    across = (left - right) / max(1e-6, float(np.linalg.norm(left - right)))
    down = hips - points[Point.NECK, :2]
    inset = 0.1 * unit * across
    half = 0.25 * unit * across
    corners = [left - inset + 0.08 * down, right + inset + 0.08 * down]
    if body.legs:
        corners += [hips - half + 0.02 * down, hips + half + 0.02 * down]
    else:
        corners += [hips - half + 1.8 * down, hips + half + 1.8 * down]
    canvas = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(canvas, np.asarray(np.rint(corners), np.int32), [1])
    return np.asarray(canvas, np.bool_)


def _face(shape: tuple[int, int], points: Floats, joints: Floats) -> Mask:
    """The head's core: the face, and the upper half of the neck."""
    head, neck = points[Point.HEAD], points[Point.NECK]
    ears = float(np.linalg.norm(joints[Joint.LEFT_EAR, :2] - joints[Joint.RIGHT_EAR, :2]))
    reach = float(np.linalg.norm(neck[:2] - head[:2]))
    radius = min(max(0.5 * ears, 0.25 * reach), 0.75 * reach)
    up = head + 0.3 * (head - neck)
    face = capsule(shape, up, head, radius)
    return face | capsule(shape, head, head + 0.55 * (neck - head), 0.4 * radius)
