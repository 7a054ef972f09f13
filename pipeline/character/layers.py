"""From parts that can be seen to layers that are whole.

A layer is a part, an overlap round its joints (so that nothing gapes when it turns) and what other
parts cover of it, painted from its own surroundings.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character.body import Body, Mask, capsule
from pipeline.character.cutout import extend, fill, fill_texture
from pipeline.character.model import LAYERS, Layer
from pipeline.character.palette import likeness
from pipeline.character.skeleton import ARM, LEG, SIDE, Floats, Point

#: Texture kept around a layer, in pixels: its mesh and its filters need air.
MARGIN = 12
#: Share of the picture's height by which a cut-off body is continued below its cut.
_CONTINUED = 0.35
#: Share of its height that is drawn out for this.
_SOURCE = 0.1
#: A trunk of which more than this is hidden needs texture there.
_LARGE = 0.08
#: A colour that a part has at all: logarithm of its share there over the share that counts as none.
_OWN = 1.5
#: A forearm of which less than this can be seen is better guessed from its twin.
_HIDDEN = 0.75


def build_layers(
    rgb: NDArray[np.uint8], alpha: Floats, parts: dict[str, Mask], body: Body
) -> tuple[Layer, ...]:
    """One layer a part, in the order of ``LAYERS``. ``rgb`` has pure colours."""
    layers: list[Layer] = []
    for name in LAYERS:
        if name not in parts:
            continue
        own, behind = parts[name], _none(alpha.shape)
        region, borrowed = _region(name, parts, body)
        if name.endswith("upper_arm"):
            # A bow or a strap at the shoulder would turn with the arm.
            strange = borrowed & parts["torso"] & (likeness(rgb, own, _none(own.shape)) < _OWN)
            region, borrowed = region & ~strange, borrowed & ~strange
        if name.endswith("arm"):
            region = _evened(region, alpha, 0.03 * body.unit)
        if name == "torso" or name.endswith("thigh"):
            # The outline of a hand on it is never quite the hand's: a finger's edge would stay behind.
            behind = _near_forearms(parts, 0.09 * body.unit)
            own = own & ~behind
        known = (own & region) | borrowed
        hole = region & ~known & (alpha > 0.02)
        # Next to what hides it, a part is shadowed, or has a rim of the other's colours.
        hiding = np.asarray(~own & (alpha > 0.02), np.uint8)
        clean = own & (cv2.distanceTransform(1 - hiding, cv2.DIST_L2, 3) > 0.04 * body.unit)
        source = clean if clean.any() else own
        painted = fill(rgb, source, hole)
        if name == "torso" and (hole & behind).sum() > _LARGE * own.sum():
            painted = fill_texture(painted, source, hole & behind)
        painted = extend(painted, known | hole)
        layers.append(_crop(name, painted, alpha, known | hole))
    return _with_twins(tuple(layers), parts, body)


def _with_twins(layers: tuple[Layer, ...], parts: dict[str, Mask], body: Body) -> tuple[Layer, ...]:
    """A forearm that is mostly hidden becomes the mirror image of the other, if that can be seen."""
    seen = {side: _share_seen(f"{side}_forearm", parts, body) for side in ("left", "right")}
    worse, better = sorted(seen, key=lambda side: seen[side])
    if not (seen[worse] < _HIDDEN and seen[better] > seen[worse] + 0.1):
        return layers
    twin = next(layer for layer in layers if layer.name == f"{better}_forearm")
    made = _reflected(twin, worse, body)
    return tuple(made if layer.name == made.name else layer for layer in layers)


def _share_seen(name: str, parts: dict[str, Mask], body: Body) -> float:
    """The share of a forearm's middle line that is its own part; 1 for one that is not in the picture."""
    if name not in parts:
        return 1.0
    shift = 0 if name.startswith("left") else SIDE
    elbow, wrist = body.points[ARM[1] + shift], body.points[ARM[2] + shift]
    line = capsule(parts[name].shape, elbow + 0.3 * (wrist - elbow), wrist, 0.05 * body.unit)
    return float(parts[name][line].mean()) if line.any() else 1.0


def _reflected(twin: Layer, side: str, body: Body) -> Layer:
    """``twin`` mirrored so that its elbow and wrist lie on those of the forearm of ``side``."""
    to, of = (0, SIDE) if side == "left" else (SIDE, 0)
    elbow, wrist = (complex(*body.points[p + of, :2]) for p in ARM[1:3])
    new_elbow, new_wrist = (complex(*body.points[p + to, :2]) for p in ARM[1:3])
    # A reflection and a turn: z -> new_elbow + turn * conj(z - elbow), kept at the twin's own size.
    turn = (new_wrist - new_elbow) / max(abs(new_wrist - new_elbow), 1e-6)
    turn *= (wrist - elbow) / max(abs(wrist - elbow), 1e-6)
    matrix = np.array([[turn.real, turn.imag], [turn.imag, -turn.real]])
    height, width = twin.rgba.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    origin = np.array([twin.left, twin.top], np.float64)
    middle, new_middle = np.array([elbow.real, elbow.imag]), np.array([new_elbow.real, new_elbow.imag])
    places = (corners + origin - middle) @ matrix.T + new_middle
    left, top = (int(v) for v in np.floor(places.min(axis=0)))
    size = np.ceil(places.max(axis=0)).astype(int) - (left, top) + 1
    shift = matrix @ (origin - middle) + new_middle - (left, top)
    move = np.hstack([matrix, shift[:, None]])
    rgba = cv2.warpAffine(
        twin.rgba, move, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return Layer(f"{side}_forearm", left, top, np.asarray(rgba, np.uint8))


def _evened(region: Mask, alpha: Floats, radius: float) -> Mask:
    """``region`` with its outline made smooth where it runs through the body; the silhouette stays."""
    smooth = cv2.GaussianBlur(np.asarray(region, np.float32), (0, 0), max(0.5, radius)) > 0.5
    inward = cv2.distanceTransform(np.asarray(alpha > 0.5, np.uint8), cv2.DIST_L2, 3)
    return np.where(inward > 2 * radius, smooth, region)


def _region(name: str, parts: dict[str, Mask], body: Body) -> tuple[Mask, Mask]:
    """All that the layer should cover, and what of it may be taken from neighbouring parts as it is."""
    shape = parts[name].shape
    if name == "torso":
        caps = _none(shape)
        for side, shoulder in (("left", Point.LEFT_SHOULDER), ("right", Point.RIGHT_SHOULDER)):
            place = body.points[shoulder]
            arm = parts.get(f"{side}_upper_arm", caps)
            caps = caps | (capsule(shape, place, place, 0.1 * body.unit) & arm)
        # Under the thighs, so that striding legs show cloth between them and not the scene.
        low = 1.15 * body.points[Point.PELVIS] - 0.15 * body.points[Point.NECK]
        for thigh in ("left_thigh", "right_thigh"):
            caps = caps | (capsule(shape, low, low, 0.17 * body.unit) & parts.get(thigh, _none(shape)))
        return _whole_trunk(parts, body) | caps, caps
    if name == "head":
        neck = body.points[Point.NECK]
        head = body.points[Point.HEAD]
        base = capsule(shape, head + 0.6 * (neck - head), neck, 0.16 * body.unit)
        return _closed(parts["head"], 0.2 * body.unit), base & parts.get("torso", _none(shape))
    side, kind = name.split("_", 1)
    shift = 0 if side == "left" else SIDE
    if kind in ("upper_arm", "forearm"):
        return _arm(side, kind, shift, parts, body)
    return _leg(side, kind, shift, parts, body)


def _near_forearms(parts: dict[str, Mask], reach: float) -> Mask:
    """The pixels no farther than ``reach`` from a forearm or hand."""
    away = np.ones(next(iter(parts.values())).shape, np.uint8)
    for name, part in parts.items():
        if name.endswith("forearm"):
            away[part] = 0
    if away.all():
        return np.zeros(away.shape, np.bool_)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, 3) <= reach, np.bool_)


def _none(shape: tuple[int, ...]) -> Mask:
    return np.zeros(shape, bool)


def _arm(side: str, kind: str, shift: int, parts: dict[str, Mask], body: Body) -> tuple[Mask, Mask]:
    own = parts[f"{side}_{kind}"]
    shape = own.shape
    shoulder, elbow, wrist = (body.points[point + shift] for point in ARM[:3])
    width = _thickness(own, body)
    if kind == "upper_arm":
        joint = capsule(shape, shoulder, shoulder, 1.1 * width) & parts.get("torso", _none(shape))
        if f"{side}_forearm" in parts:
            joint |= capsule(shape, elbow, elbow, 1.1 * width) & parts[f"{side}_forearm"]
        return own | joint | capsule(shape, shoulder, elbow, 0.8 * width), joint
    joint = capsule(shape, elbow, elbow, 1.1 * width)
    middle = (elbow + wrist) / 2
    # A folded arm's elbow is a corner: stretched, there must be flesh between it and the forearm.
    joint |= _closed(own | joint, 0.2 * body.unit) & capsule(
        shape, elbow, 0.6 * elbow + 0.4 * wrist, 1.5 * width
    )
    joint &= parts[f"{side}_upper_arm"]
    covered = capsule(shape, elbow, middle, 0.9 * width) | capsule(shape, middle, wrist, 0.65 * width)
    return own | joint | covered, joint


def _leg(side: str, kind: str, shift: int, parts: dict[str, Mask], body: Body) -> tuple[Mask, Mask]:
    own = parts[f"{side}_{kind}"]
    shape = own.shape
    hip, knee, ankle = (body.points[point + shift] for point in LEG[:3])
    width = _thickness(own, body)
    if kind == "thigh":
        shin = parts.get(f"{side}_shin", _none(shape))
        # Over the hip the layer moves as the trunk does, so its border there is never seen.
        joint = (capsule(shape, knee, knee, 1.2 * width) & shin) | (
            capsule(shape, hip, hip, 0.32 * body.unit) & parts["torso"]
        )
        # Under the hem of what hangs over it, a thigh goes on to the hip.
        covered = capsule(shape, hip, knee, 0.9 * width) | _closed(own, 0.25 * body.unit)
        return own | joint | covered, joint
    joint = capsule(shape, knee, knee, 1.2 * width) & parts.get(f"{side}_thigh", _none(shape))
    return own | joint | capsule(shape, knee, ankle, 0.5 * width), joint


def _thickness(own: Mask, body: Body) -> float:
    """Half the part's usual thickness, in pixels, within what bodies and sleeves have."""
    inner = cv2.distanceTransform(np.asarray(np.pad(own, 1), np.uint8), cv2.DIST_L2, 5)
    ridge = inner[inner > 0.6 * inner.max()] if own.any() else np.zeros(1)
    return float(np.clip(np.median(ridge), 0.08 * body.unit, 0.3 * body.unit))


def _closed(mask: Mask, radius: float) -> Mask:
    """Morphological closing: gaps narrower than about twice ``radius`` are bridged."""
    shrink = max(1.0, radius / 16)
    size = (max(1, round(mask.shape[1] / shrink)), max(1, round(mask.shape[0] / shrink)))
    small = cv2.resize(np.asarray(mask, np.float32), size, interpolation=cv2.INTER_AREA)
    pad = round(radius / shrink) + 1
    small = cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=[0])
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pad - 1, 2 * pad - 1))
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, kernel)[pad:-pad, pad:-pad]
    full = cv2.resize(np.asarray(closed, np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray((full > 0.5) | mask, bool)


def _whole_trunk(parts: dict[str, Mask], body: Body) -> Mask:
    """The trunk with what arms, hands and chin hide of it."""
    own = parts["torso"]
    shape = own.shape
    region = _closed(own, 0.45 * body.unit)
    for row in np.flatnonzero(own.any(axis=1)):
        columns = np.flatnonzero(own[row])
        region[row, columns[0] : columns[-1] + 1] = True
    # Rows differ by what juts out: the outline between them is made even.
    radius = max(1, round(0.08 * body.unit))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    region = np.asarray(cv2.morphologyEx(np.asarray(region, np.uint8), cv2.MORPH_OPEN, disc), np.bool_) | own
    neck, head = body.points[Point.NECK], body.points[Point.HEAD]
    region |= capsule(shape, neck, neck + 0.35 * (head - neck), 0.1 * body.unit)
    solid = np.zeros(shape, bool)
    for part in parts.values():
        solid |= part
    return np.asarray(region & solid, np.bool_)


def _crop(name: str, rgb: NDArray[np.uint8], alpha: Floats, region: Mask) -> Layer:
    """The layer's texture, with a soft edge where it borders on other parts."""
    inside = np.asarray(region, np.float32)
    soft = np.clip(cv2.GaussianBlur(inside, (0, 0), 1.0) * 2, 0, 1) * inside
    matte = np.asarray(np.rint(255 * alpha * soft), np.uint8)
    rows, columns = np.flatnonzero(matte.any(axis=1)), np.flatnonzero(matte.any(axis=0))
    top, bottom = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 1)
    left, right = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 1)
    rgba = np.dstack([rgb, matte])[top:bottom, left:right]
    border = cv2.copyMakeBorder(rgba, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
    inner = np.zeros(border.shape[:2], bool)
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    border[~inner, 3] = 0
    return Layer(name, left - MARGIN, top - MARGIN, np.ascontiguousarray(border))


def continue_below(
    rgb: NDArray[np.uint8], alpha: Floats, points: Floats, unit: float
) -> tuple[NDArray[np.uint8], Floats]:
    """The picture made taller by what a cut-off body would go on with: its last rows, mirrored and drawn out.

    So that a body cut at the waist reaches the frame's lower edge and never ends in mid-air. Only
    the trunk goes on: an arm that leaves the picture does not grow.
    """
    height, width = alpha.shape
    more = round(_CONTINUED * height)
    rows = height - 1 - np.arange(more) * _SOURCE / _CONTINUED
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), rows.astype(np.float32))
    drawn = cv2.remap(rgb, across, down, cv2.INTER_LINEAR)
    alpha = alpha.copy()
    # Detectors fade towards the picture's edge: a body that leaves through it does not.
    fade = max(2, round(0.02 * height))
    alpha[-fade:] = np.maximum(alpha[-fade:], alpha[-fade - 1])
    outline = np.where(_trunk_columns(alpha[-1], points, unit, height), alpha[-1], 0)
    longer = np.vstack([alpha, np.repeat(outline[None], more, axis=0)])
    return np.vstack([rgb, drawn]), np.asarray(longer, np.float32)


def _trunk_columns(last: Floats, points: Floats, unit: float, height: int) -> Mask:
    """Of the columns in which the body leaves the picture, the run under the trunk, without the arms'."""
    solid = np.asarray(last > 0.3)
    for point in (*ARM[1:], *(p + SIDE for p in ARM[1:])):
        x, y = points[point, :2]
        if y > height - 0.35 * unit and abs(x - points[Point.NECK, 0]) > 0.6 * unit:
            solid[max(0, int(x - 0.3 * unit)) : max(0, int(x + 0.3 * unit))] = False
    middle = float((points[Point.NECK, 0] + points[Point.PELVIS, 0]) / 2)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], solid, [False]]).astype(np.int8)))
    keep = np.zeros(len(last), bool)
    for start, stop in edges.reshape(-1, 2):
        if start - 0.3 * unit <= middle <= stop + 0.3 * unit:
            keep[start:stop] = True
    return keep
