"""A figure on plain paper: what is drawn there, told from the paper and filled where it is only outlined."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character.skeleton import Floats

Mask = NDArray[np.bool_]

#: The paper is modelled on a picture so large (its longer side, in pixels).
_SMALL = 320
#: Rounds in which what differs from the paper's model is left out of its next fit.
_ROUNDS = 6
#: Drawn is what differs so much from the paper: in CIELAB units, and in the paper's own spread.
_INK, _SPREAD = 9.0, 5.0
#: A surface whose colours spread more than this is no paper, and of paper there must be so much:
#: of the whole picture, and of its edge.
_ROUGH, _BARE, _BARE_EDGE = 7.0, 0.3, 0.7
#: Gaps in an outline that are bridged, smallest first: shares of the picture's longer side.
_GAPS = (0.004, 0.008, 0.014, 0.022)
#: A wider bridge must win so much area to be worth it: it also joins what is apart.
_WORTH = 1.25
#: A value that no mask has.
_FLOOD = 2
#: The figure covers so much of the picture, and so much of all that is drawn: pages of text do not.
_LEAST, _MOST, _MAIN = 0.03, 0.85, 0.6


def figure_on_paper(rgb: NDArray[np.uint8]) -> Floats | None:
    """Alpha (H, W) of the one figure drawn on the plain ground of ``rgb``; None where there is none.

    Everything inside the figure's outline is the figure's, whatever its colour.
    """
    differs = _from_paper(rgb)
    if differs is None:
        return None
    ink = np.asarray(differs > 1, np.bool_)
    figure = _filled(ink)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.asarray(figure, np.uint8), connectivity=8)
    if count < 2:
        return None
    main = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    area = int(stats[main, cv2.CC_STAT_AREA])
    if not (_LEAST * ink.size < area < _MOST * ink.size and area > _MAIN * int(figure.sum())):
        return None
    # The outermost pixels are half ink, half paper: on any other ground they would be a pale rim.
    rim = 2 * max(1, round(max(ink.shape) / 600)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (rim, rim))
    whole = cv2.erode(np.asarray(labels == main, np.float32), kernel)
    soft = cv2.GaussianBlur(whole, (0, 0), max(0.7, max(ink.shape) / 900))
    return np.asarray(np.clip((soft - 0.3) / 0.5, 0, 1), np.float32)


def _from_paper(rgb: NDArray[np.uint8]) -> Floats | None:
    """How much each pixel differs from the paper, 1 being where something is drawn; None without paper.

    Paper is lit unevenly: its colour is a quadratic function of the place, fitted to what it fits.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, _SMALL / max(height, width))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    small = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB)
    colors = small.reshape(-1, 3).astype(np.float64)
    terms = _terms(size[1], size[0])
    edge = np.zeros((size[1], size[0]), np.bool_)
    edge[:3] = edge[-3:] = True
    edge[:, :3] = edge[:, -3:] = True
    bare = edge.ravel() & (np.abs(colors - np.median(colors[edge.ravel()], axis=0)).max(axis=1) < 30)
    limit = np.inf
    for _ in range(_ROUNDS):
        if bare.mean() < 0.02:
            return None
        fit, *_ = np.linalg.lstsq(terms[bare], colors[bare], rcond=None)
        away = np.linalg.norm(colors - terms @ fit, axis=1)
        spread = 1.4826 * float(np.median(away[bare]))
        limit = max(_INK, _SPREAD * spread)
        bare = away < limit
    if spread > _ROUGH or bare.mean() < _BARE or bare[edge.ravel()].mean() < _BARE_EDGE:
        return None
    full = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), np.float32)
    paper = (_terms(height, width) @ fit).reshape(height, width, 3).astype(np.float32)
    return np.asarray(
        np.linalg.norm(cv2.GaussianBlur(full, (0, 0), 0.8) - paper, axis=-1) / limit, np.float32
    )


def _terms(height: int, width: int) -> NDArray[np.float64]:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(
        np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6), np.float64
    )


def _filled(ink: Mask) -> Mask:
    """``ink`` with all that it encloses, over gaps no wider than they need be."""
    best = _enclosed(ink, 0)
    for gap in _GAPS:
        filled = _enclosed(ink, max(1, round(gap * max(ink.shape))))
        if filled.sum() > _WORTH * best.sum():
            best = filled
    return best


def _enclosed(ink: Mask, radius: int) -> Mask:
    """What cannot be reached from the picture's edge when ``ink`` is so much thicker."""
    pad = 2 * radius + 2
    wide = cv2.copyMakeBorder(np.asarray(ink, np.uint8), pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=[0])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    thick = cv2.dilate(wide, disc)
    flooded = thick.copy()
    cv2.floodFill(flooded, None, (0, 0), [_FLOOD])
    inner = np.asarray(cv2.erode(np.asarray(flooded != _FLOOD, np.uint8), disc), np.bool_)
    return inner[pad:-pad, pad:-pad] | ink
