"""Which pixel of a character belongs to which part of its body.

Each part is sown where it surely is (a core around its bone); every other pixel goes to the part it
is nearest to, walking inside the character, where a step over an edge of the picture costs more: so
the borders between parts fall on the line between a sleeve and a coat.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from pipeline.character.skeleton import ARM, LEG, SIDE, Floats, Point, body_unit
from pipeline.perception.tracks import Joint

Mask = NDArray[np.bool_]

#: Radii in body units.
_ARM_CORE, _HAND_CORE, _LEG_CORE = 0.07, 0.05, 0.09
#: The trunk's core keeps so far away from the arms' bones.
_ARM_KEEP = 0.15
_SURE = 0.5
#: What a hand may rest on.
_UNDER_HANDS = ("torso", "left_thigh", "right_thigh")
#: The graph on which parts grow has so many pixels along its longer side.
_GRID = 320
#: What a step across a difference of 1 in CIELAB (0-255) costs, in body units.
_COLOR_COST = 0.007
#: A greater difference is no clearer an edge: curls and stripes would be walls.
_CLEAR_EDGE = 40.0
#: Within this difference fingers have the colour of their hand.
_SAME_COLOR = 34.0
#: Beyond this distance from its bone (body units) an arm pays for every unit that it grows on.
_SLEEVE, _OFF_BONE = 0.17, 2.5


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
        near = capsule(alpha.shape, points[point], points[point], 0.15 * body_unit(points)) & (alpha > _SURE)
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
    parts = _without_crumbs({name: solid & (winner == i) for i, name in enumerate(cores)}, body.unit)
    for name in [name for name in parts if name.endswith("forearm")]:
        parts = _bare_hand(name, parts, lab, body)
    return parts


def _bare_hand(name: str, parts: dict[str, Mask], lab: Floats, body: Body) -> dict[str, Mask]:
    """Give back to trunk and legs what has been taken for a hand though it has not its colour.

    A hand rests on trousers or a skirt: a patch of them would else wave with it.
    """
    shift = 0 if name.startswith("left") else SIDE
    wrist, hand = (body.points[p + shift, :2] for p in (Point.LEFT_WRIST, Point.LEFT_HAND))
    own = parts[name]
    palm = capsule(own.shape, wrist, hand, 0.6 * _HAND_CORE * body.unit) & own
    if not palm.any():
        return parts
    y, x = np.indices(own.shape, np.float32)
    past = (x - wrist[0]) * (hand - wrist)[0] + (y - wrist[1]) * (hand - wrist)[1] > 0
    strange = own & past & ~_like(lab, palm, own)
    # Shadows between fingers are not trousers: only patches of some size are given back.
    radius = max(1, round(0.02 * body.unit))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    core = cv2.morphologyEx(np.asarray(strange, np.uint8), cv2.MORPH_OPEN, disc)
    patch = np.asarray(cv2.dilate(core, disc), np.bool_) & strange
    others = {key: part for key, part in parts.items() if key in _UNDER_HANDS}
    far = {k: cv2.distanceTransform(np.asarray(~p, np.uint8), cv2.DIST_L2, 3) for k, p in others.items()}
    given = np.argmin(list(far.values()), axis=0)
    near = np.min(list(far.values()), axis=0) < 0.25 * body.unit
    result = parts | {
        key: part | (patch & near & (given == i)) for i, (key, part) in enumerate(others.items())
    }
    return result | {name: own & ~(patch & near)}


def _without_crumbs(parts: dict[str, Mask], unit: float) -> dict[str, Mask]:
    """Slivers of trunk and limbs, left over between others, go to what they lie at.

    Heads and forearms keep theirs: they are strands of hair and fingers.
    """
    radius = max(1, round(0.025 * unit))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    crumbs = np.zeros(next(iter(parts.values())).shape, bool)
    firm: dict[str, Mask] = {}
    for name, part in parts.items():
        opened = cv2.morphologyEx(np.asarray(part, np.uint8), cv2.MORPH_OPEN, disc)
        thin = name == "head" or name.endswith("forearm")
        firm[name] = part if thin else np.asarray(opened, np.bool_)
        crumbs |= part & ~firm[name]
    far = [cv2.distanceTransform(np.asarray(~part, np.uint8), cv2.DIST_L2, 3) for part in firm.values()]
    nearest = np.argmin(far, axis=0)
    return {name: part | (crumbs & (nearest == i)) for i, (name, part) in enumerate(firm.items())}


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
            arms[f"{side}_forearm"] = core | palm | _like(lab, palm, fingers)
            keep |= capsule(shape, elbow, wrist, _ARM_KEEP * unit) | capsule(shape, wrist, tip, 0.11 * unit)
    cores = {"torso": _trunk(shape, body) & ~keep, "head": _face(shape, points, joints)}
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


def _like(lab: Floats, known: Mask, other: Mask) -> Mask:
    """The pixels of ``other`` that have about the colour of ``known``."""
    if not known.any():
        return other
    # Light and shade on a hand differ more than what separates it from other things does in hue.
    away = (lab - np.median(lab[known], axis=0)) * np.array([0.45, 1, 1], np.float32)
    return np.asarray(other & (np.linalg.norm(away, axis=-1) < _SAME_COLOR), np.bool_)


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
