"""Parts put right: what has been given to a limb, and would fly through the air with it, goes back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character.body import Body, Mask, capsule, joined, like
from pipeline.character.palette import likeness
from pipeline.character.skeleton import ARM, SIDE, Floats, Point

#: Half the thickness of what is surely palm, in body units.
_PALM = 0.03
#: What a hand may rest on.
_UNDER_HANDS = ("torso", "left_thigh", "right_thigh")
#: Hair is so much more (a logarithm) of the head's colours than of the arm's.
_HAIR = 0.7
#: What is so far past an arm's shoulder, in body units, is no longer arm.
_ABOVE = 0.25


def bare_hand(name: str, parts: dict[str, Mask], lab: Floats, body: Body) -> dict[str, Mask]:
    """Give back to trunk and legs what has been taken for a hand though it has not its colour.

    A hand rests on trousers or a skirt: a patch of them would else wave with it.
    """
    shift = 0 if name.startswith("left") else SIDE
    wrist, hand = (body.points[p + shift, :2] for p in (Point.LEFT_WRIST, Point.LEFT_HAND))
    own = parts[name]
    palm = capsule(own.shape, wrist, hand, _PALM * body.unit) & own
    if not palm.any():
        return parts
    y, x = np.indices(own.shape, np.float32)
    past = (x - wrist[0]) * (hand - wrist)[0] + (y - wrist[1]) * (hand - wrist)[1] > 0
    strange = own & past & ~like(lab, palm, own)
    # Shadows between fingers are not trousers: only patches of some size are given back.
    radius = max(1, round(0.012 * body.unit))
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


def with_hair(
    parts: dict[str, Mask], cores: dict[str, Mask], rgb: NDArray[np.uint8], body: Body
) -> dict[str, Mask]:
    """Hair that lies on a shoulder goes to the head: by its colour, and only where it hangs on the head."""
    result = dict(parts)
    for name in [name for name in parts if name.endswith("upper_arm") and "head" in parts]:
        hair = parts[name] & (likeness(rgb, parts["head"], cores[name]) > _HAIR)
        past = _past_shoulder(name, hair.shape, body)
        hair &= past > 0
        # Thinner than a strand of hair is only the shade along an arm's outline.
        radius = max(1, round(0.02 * body.unit))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        hair = np.asarray(cv2.morphologyEx(np.asarray(hair, np.uint8), cv2.MORPH_OPEN, disc), np.bool_)
        # No shoulder rises so far above its joint.
        hair |= parts[name] & (past > _ABOVE)
        hair = joined(parts["head"], parts["head"] | hair) & hair
        result[name] &= ~hair
        result["head"] = result["head"] | hair
    return result


def _past_shoulder(name: str, shape: tuple[int, ...], body: Body) -> Floats:
    """How far each pixel is beyond the shoulder of an arm, straight on from its elbow, in body units."""
    side = 0 if name.startswith("left") else SIDE
    shoulder, elbow = body.points[ARM[0] + side, :2], body.points[ARM[1] + side, :2]
    along = (shoulder - elbow) / max(1e-6, float(np.linalg.norm(shoulder - elbow)))
    y, x = np.indices(shape, np.float32)
    return np.asarray(((x - shoulder[0]) * along[0] + (y - shoulder[1]) * along[1]) / body.unit, np.float32)


def in_one_piece(parts: dict[str, Mask], cores: dict[str, Mask]) -> dict[str, Mask]:
    """Pieces of a limb that hang on none of its core go to the part that they lie at.

    They would fly through the air with the limb.
    """
    loose = np.zeros(next(iter(parts.values())).shape, bool)
    whole: dict[str, Mask] = {}
    for name, part in parts.items():
        whole[name] = part
        if name in ("torso", "head") or not (part & cores[name]).any():
            continue
        whole[name] = joined(cores[name], part)
        loose |= part & ~whole[name]
    if not loose.any():
        return parts
    far = [cv2.distanceTransform(np.asarray(~part, np.uint8), cv2.DIST_L2, 3) for part in whole.values()]
    nearest = np.argmin(far, axis=0)
    return {name: part | (loose & (nearest == i)) for i, (name, part) in enumerate(whole.items())}


def without_crumbs(parts: dict[str, Mask], unit: float) -> dict[str, Mask]:
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
