"""From a detector's coarse mask to the character's own outline.

The mask and the skeleton say where the body surely is; what lies around them goes to body or
background by its colour: Rother, Kolmogorov, Blake: GrabCut (2004).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character.body import Mask, capsule
from pipeline.character.palette import likeness
from pipeline.character.skeleton import ARM, LEG, SIDE, Floats, Point, body_unit, points_of

#: The cut is found on a picture whose longer side has so many pixels.
_GRID = 640
#: Deeper than this inside the mask is surely body; farther than that outside surely not (body units).
_DEEP, _FAR = 0.1, 0.18
#: Half the thickness of what surely lies around each bone, in body units.
_AROUND: tuple[tuple[int, int, float], ...] = (
    *((ARM[0] + side, ARM[1] + side, 0.06) for side in (0, SIDE)),
    *((ARM[1] + side, ARM[2] + side, 0.05) for side in (0, SIDE)),
    *((ARM[2] + side, ARM[3] + side, 0.05) for side in (0, SIDE)),
    *((LEG[0] + side, LEG[1] + side, 0.12) for side in (0, SIDE)),
    *((LEG[1] + side, LEG[2] + side, 0.08) for side in (0, SIDE)),
    *((LEG[2] + side, LEG[3] + side, 0.06) for side in (0, SIDE)),
    (Point.NECK, Point.PELVIS, 0.14),
    (Point.HEAD, Point.NECK, 0.12),
)
_SEEN = 0.5
#: A colour is the background's when it is e to this power as frequent there as around the bones.
_STRANGE = 0.5
#: Around a piece of background in the mask the body is in doubt so far, in body units.
_DOUBT = 0.12
#: Where more of the body than this looks like the background, colours tell nothing.
_ALIKE = 0.08


def cut_out(rgb: NDArray[np.uint8], mask: Floats, joints: Floats, others: Mask | None = None) -> Floats:
    """Alpha (H, W) of the person whom ``mask`` and ``joints`` show; solid inside, soft at the edge.

    ``others`` are other people's pixels.
    """
    points = points_of(joints)
    scale = min(1.0, _GRID / max(mask.shape))
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    coarse = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32)
    points[:, :2] *= scale
    strangers = np.zeros(coarse.shape, bool)
    if others is not None:
        strangers = cv2.resize(np.asarray(others, np.float32), size, interpolation=cv2.INTER_AREA) > _SEEN
    solid = _grown(small, coarse, points, strangers)
    return _soft(rgb, solid, strangers, max(2, round(0.03 * body_unit(points) / scale)))


def _grown(small: NDArray[np.uint8], coarse: Floats, points: Floats, strangers: Mask) -> Mask:
    """The body's pixels in the small picture, without holes that are only a matter of light."""
    unit = body_unit(points)
    hard = np.asarray((coarse > _SEEN) & ~strangers, np.uint8)
    inward = cv2.distanceTransform(hard, cv2.DIST_L2, 5)
    outward = cv2.distanceTransform(1 - hard, cv2.DIST_L2, 5)
    bones = _bones(coarse.shape, points, unit) & (coarse > 0.2) & ~strangers
    labels = np.full(hard.shape, cv2.GC_BGD, np.uint8)
    labels[(outward < _FAR * unit) & ~strangers] = cv2.GC_PR_BGD
    labels[hard > 0] = cv2.GC_PR_FGD
    labels[np.asarray(inward > _DEEP * unit) | bones] = cv2.GC_FGD
    if not (labels == cv2.GC_FGD).any() or not (labels == cv2.GC_BGD).any():
        return np.asarray(hard, np.bool_)
    head = capsule(coarse.shape, points[Point.HEAD], points[Point.HEAD], 0.6 * unit)
    around = np.asarray((outward > 0.03 * unit) & (outward < 0.5 * unit))
    like = likeness(small, around, bones | (head & (hard > 0)))
    strange = np.asarray((like > _STRANGE) & (hard > 0) & ~bones, np.uint8)
    strange = np.asarray(cv2.morphologyEx(strange, cv2.MORPH_OPEN, np.ones((3, 3))), np.uint8)
    if strange.sum() < _ALIKE * hard.sum():
        near = np.asarray(cv2.dilate(strange, _disc(_DOUBT * unit)), np.bool_)
        labels[near & ~bones & (labels == cv2.GC_FGD)] = cv2.GC_PR_FGD
        labels[strange > 0] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # its first clusters are drawn at random
    background, body = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, labels, (0, 0, 1, 1), background, body, 3, cv2.GC_INIT_WITH_MASK)
    cut = np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.bool_)
    return _on_bones(cut, bones)


def _disc(radius: float) -> NDArray[np.uint8]:
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _bones(shape: tuple[int, ...], points: Floats, unit: float) -> Mask:
    canvas = np.zeros(shape, np.bool_)
    for a, b, radius in _AROUND:
        if min(points[a, 3], points[b, 3]) > _SEEN:
            canvas |= capsule(shape, points[a], points[b], radius * unit)
    return canvas


def _on_bones(cut: Mask, bones: Mask) -> Mask:
    """The blobs that lie on the skeleton, each with its pinholes closed."""
    _, labels = cv2.connectedComponents(np.asarray(cut, np.uint8))
    kept = np.unique(labels[bones & cut])
    solid = np.isin(labels, kept[kept > 0])
    count, holes, stats, _ = cv2.connectedComponentsWithStats(np.asarray(~solid, np.uint8), connectivity=4)
    for hole in range(1, count):
        if stats[hole, cv2.CC_STAT_AREA] < 0.0015 * solid.sum():
            solid |= holes == hole
    return np.asarray(solid, np.bool_)


def _soft(rgb: NDArray[np.uint8], solid: Mask, strangers: Mask, band: int) -> Floats:
    """``solid`` at the size of ``rgb``, drawn to its edges within ``band`` pixels of its own.

    The guided filter is He, Sun, Tang: Guided Image Filtering (2010).
    """
    size = (rgb.shape[1], rgb.shape[0])
    whole = cv2.resize(np.asarray(solid, np.float32), size, interpolation=cv2.INTER_LINEAR)
    hard = np.asarray(whole > 0.5, np.uint8)
    guided = cv2.ximgproc.guidedFilter(rgb, whole, band, 6.0**2)
    edge = np.clip((guided - 0.25) / 0.5, 0, 1)
    inward = cv2.distanceTransform(hard, cv2.DIST_L2, 5)
    outward = cv2.distanceTransform(1 - hard, cv2.DIST_L2, 5)
    alpha = np.where(inward > band, 1.0, np.where(outward > band, 0.0, edge))
    if strangers.any():
        alpha[cv2.resize(np.asarray(strangers, np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0] = 0
    return np.asarray(alpha, np.float32)
