"""The character alone: its alpha, and colours in which nothing of the picture's background is left."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character.skeleton import Floats
from pipeline.plate.fill import fill as continued

#: A pixel at least so opaque has the character's own colour, and one at most so opaque none of it.
_PURE, _NOTHING = 0.97, 0.02
#: The coarsest picture in which colours are told apart has so many pixels along its shorter side.
_COARSEST = 8
#: Rounds at each size: at small ones colours travel far, at large ones they only settle.
_ROUNDS, _LARGE, _FEW = 12, 160, 3
#: How smooth colours are (a floor, and by how much the matte's edge lets them change less).
_SMOOTH, _EDGE = 5e-3, 0.1


def pure_colors(rgb: NDArray[np.uint8], alpha: Floats) -> NDArray[np.uint8]:
    """``rgb`` without the background's share in the colours of the rim; beyond it, continued from there.

    Germer et al.: Fast Multi-Level Foreground Estimation (2020): of all pairs of smooth pictures, body
    and background, that mix to ``rgb`` by ``alpha``, the smoothest; coarse to fine.
    """
    image = np.asarray(rgb, np.float32) / 255
    body = background = np.zeros((1, 1, 3), np.float32) + image.mean(axis=(0, 1))
    for size in _sizes(alpha.shape):
        small = _shrunk(image, size)
        share = _shrunk(alpha, size)[..., None]
        body, background = (
            cv2.resize(part, size, interpolation=cv2.INTER_NEAREST) for part in (body, background)
        )
        rounds = _FEW if min(size) > _LARGE else _ROUNDS
        body, background = _settled(small, share, body, background, rounds)
    mixed = np.asarray(np.rint(255 * np.clip(body, 0, 1)), np.uint8)
    pure = np.where((alpha > _PURE)[..., None], rgb, mixed)
    return extend(pure, np.asarray(alpha > _NOTHING, np.bool_))


def _sizes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Width and height of every picture from the coarsest on, each twice as large as the last."""
    height, width = shape[:2]
    sizes = [(width, height)]
    while min(sizes[-1]) > _COARSEST:
        sizes.append((max(1, sizes[-1][0] // 2), max(1, sizes[-1][1] // 2)))
    return sizes[::-1]


def _shrunk(picture: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _settled(
    image: Floats, share: Floats, body: Floats, background: Floats, rounds: int
) -> tuple[Floats, Floats]:
    """Rounds of Jacobi's method: each pixel's two colours from its own mixture and its neighbours'."""
    padded = np.pad(share[..., 0], 1, mode="edge")
    weights = [
        _SMOOTH + _EDGE * np.abs(_neighbour(padded, dy, dx) - share[..., 0])[..., None] for dy, dx in _AROUND
    ]
    total = np.asarray(np.sum(weights, axis=0), np.float32)
    rest = np.asarray(1 - share, np.float32)
    # The inverse of the two by two matrix of each pixel's equations.
    a, b, d = share * share + total, share * rest, rest * rest + total
    determinant: Floats = a * d - b * b
    for _ in range(rounds):
        one, two = share * image, rest * image
        wide = [np.pad(part, ((1, 1), (1, 1), (0, 0)), mode="edge") for part in (body, background)]
        for weight, (dy, dx) in zip(weights, _AROUND, strict=True):
            one = one + weight * _neighbour(wide[0], dy, dx)
            two = two + weight * _neighbour(wide[1], dy, dx)
        body = np.clip((d * one - b * two) / determinant, 0, 1)
        background = np.clip((a * two - b * one) / determinant, 0, 1)
    return body, background


_AROUND = ((0, 1), (0, -1), (1, 0), (-1, 0))


def _neighbour(padded: Floats, dy: int, dx: int) -> Floats:
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


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


def fill_texture(
    rgb: NDArray[np.uint8], known: NDArray[np.bool_], hole: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Like ``fill``, with pieces of what is ``known`` instead of its mean colours: for large holes.

    Nothing but ``known`` is copied from; so a trunk is continued with the trunk.
    """
    smooth = fill(rgb, known, hole)
    if not hole.any() or not known.any():
        return smooth
    # Of what is far from the hole nothing would be copied; what it costs is searching there.
    left, top, width, height = cv2.boundingRect(np.asarray(hole, np.uint8))
    air = max(width, height) // 4
    box = np.s_[max(0, top - air) : top + height + air, max(0, left - air) : left + width + air]
    made = continued(np.ascontiguousarray(smooth[box]), ~known[box])
    result = smooth.copy()
    result[box][hole[box]] = made[hole[box]]
    return result
