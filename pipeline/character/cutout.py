"""The character alone: its alpha, and colours in which nothing of the picture's background is left."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character.skeleton import Floats

#: A pixel at least so opaque has the character's own colour.
_PURE = 0.97


def tighten(mask: Floats) -> Floats:
    """A found matte with its unsure rim taken off: what is half background is not shown.

    A rim of one pixel of sky around a dark coat is what gives a cut-out away; a pixel of coat lost
    is not missed.
    """
    size = max(1, round(min(mask.shape) / 500))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * size + 1, 2 * size + 1))
    eroded = cv2.erode(mask, kernel)
    soft = cv2.GaussianBlur(eroded, (0, 0), 0.6 * size)
    return np.asarray(np.clip((soft - 0.3) / 0.5, 0, 1), np.float32)


def pure_colors(rgb: NDArray[np.uint8], alpha: Floats, found: bool) -> NDArray[np.uint8]:
    """``rgb`` with the colours of the rim, and of all beyond it, continued from inside.

    ``found`` mattes are off by a pixel or two, so their colours are trusted only deeper inside.
    """
    inside = np.asarray(alpha > _PURE, np.uint8)
    depth = max(2, round(min(alpha.shape) / 300)) if found else 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * depth + 1, 2 * depth + 1))
    trusted = np.asarray(cv2.erode(inside, kernel), np.uint8)
    # Strands thinner than the kernel would lose all their colour: they keep what they have.
    wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (4 * depth + 1, 4 * depth + 1))
    near = np.asarray(cv2.dilate(trusted, wide), bool)
    return extend(rgb, np.asarray(trusted, bool) | ((inside > 0) & ~near))


def extend(rgb: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Every pixel that is not ``known`` gets the colour of the nearest that is, softened."""
    if not known.any():
        return rgb
    unknown = np.asarray(~known, np.uint8)
    _, labels = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    table[labels[known]] = rgb[known]
    spread = table[labels]
    soft = cv2.GaussianBlur(spread, (0, 0), 2.0)
    return np.where(known[..., None], rgb, soft)


def fill(rgb: NDArray[np.uint8], known: NDArray[np.bool_], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """``rgb`` with ``hole`` painted from what is ``known`` around it: texture that nobody has seen.

    Smooth harmonic-like fill on a pyramid (each level takes what its coarser one knows), over which
    the nearest known colours are laid close to the edge so that lines do not end at once.
    """
    if not hole.any() or not known.any():
        return rgb
    weight = np.asarray(known, np.float32)
    levels: list[tuple[Floats, Floats]] = []
    color = np.asarray(rgb, np.float32) * weight[..., None]
    while min(weight.shape) > 2:
        levels.append((color, weight))
        height, width = weight.shape
        half = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
        color = np.asarray(cv2.resize(color, half, interpolation=cv2.INTER_AREA), np.float32)
        weight = np.asarray(cv2.resize(weight, half, interpolation=cv2.INTER_AREA), np.float32)
    guess = color / np.maximum(weight, 1e-6)[..., None]
    for color, weight in reversed(levels):
        up = cv2.resize(guess, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR)
        share = np.minimum(weight * 4, 1)[..., None]
        guess = share * color / np.maximum(weight, 1e-6)[..., None] + (1 - share) * up
    near = extend(rgb, known)
    distance = cv2.distanceTransform(np.asarray(~known, np.uint8), cv2.DIST_L2, 5)
    reach = max(4.0, 0.02 * max(rgb.shape[:2]))
    close = np.exp(-distance / reach)[..., None]
    filled = close * near + (1 - close) * guess
    return np.where(hole[..., None], np.asarray(np.clip(filled, 0, 255), np.uint8), rgb)
