"""The inside of a mouth that the picture shows shut: dark, with a hint of teeth and tongue."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.engines.puppet.signals import Values

#: Red, green and blue of each under a white light.
_DARK, _TEETH, _TONGUE = (58, 22, 24), (236, 224, 208), (152, 74, 74)
#: Teeth show below the upper lip by at most this (face heights), and at most this share of the gap.
_TOOTH, _TOOTH_SHARE = 0.028, 0.3
#: A gap smaller than this is a dark line, no view into a mouth.
_VIEW = 0.03
#: How far the inside of the mouth takes on the tint of the lips.
_TINT = 0.12


class Mouth:
    """Drawn into the light that lies on the lips of one character."""

    def __init__(self, texture: NDArray[np.uint8], lips: Values, height: float) -> None:
        """``texture`` is the head's (premultiplied), ``lips`` (n, 2) are points on it."""
        x, y = np.clip(np.rint(lips).astype(int), 0, np.array(texture.shape[1::-1]) - 1).T
        color = np.median(texture[y, x, :3], axis=0) / 255
        # Skin in a white light is about 0.75 bright; of the light's tint, lips tell some.
        tint = (np.maximum(color, 0.02) / max(float(color.mean()), 0.02)) ** _TINT
        self._light = np.asarray(np.clip(color.max() / 0.75, 0.25, 1.0) * tint, np.float32)
        self._height = height

    def draw(self, face: NDArray[np.uint8], upper: Values, lower: Values, smile: float) -> None:
        """Fill the gap between the lips' inner edges (n, 2), from one corner to the other, in ``face``.

        The more of a smile, 0-1, the more teeth.
        """
        gap = float(np.abs(lower[:, 1] - upper[:, 1]).max())
        mask = filled(np.vstack([upper, lower[::-1]]), face.shape)
        view = float(np.clip(gap / (_VIEW * self._height) - 0.5, 0, 1))
        teeth_low = upper + np.minimum(
            (1 + smile) * _TOOTH * self._height, (1 + smile) * _TOOTH_SHARE * gap
        ) * _down(upper, lower)
        teeth = filled(np.vstack([upper, teeth_low[::-1]]), face.shape)
        tongue_top = lower - 0.3 * (lower - upper)
        tongue = filled(np.vstack([tongue_top, lower[::-1]]), face.shape)
        x, y, width, height = cv2.boundingRect(mask)
        if not width:
            return
        part = np.s_[y : y + height, x : x + width]
        soft = max(0.6, 0.006 * self._height)
        color = np.empty((height, width, 3), np.float32)
        color[:] = _DARK
        for shape, tint, share in ((tongue, _TONGUE, 0.6), (teeth, _TEETH, 0.62 + 0.2 * smile)):
            weight = cv2.GaussianBlur(shape[part], (0, 0), soft)[..., None] * (view * share / 255)
            color += weight * (np.array(tint, np.float32) - color)
        inside = np.dstack([color * self._light, np.full((height, width), 255, np.float32)])
        cover = mask[part][..., None].astype(np.float32) / 255
        face[part] = np.rint(face[part] + cover * (inside * (face[part][..., 3:] / 255.0) - face[part]))


def filled(outline: Values, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """uint8 (H, W): how much of each pixel lies in the outline (n, 2), with a soft edge."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], [255], lineType=cv2.LINE_AA, shift=4)
    return mask


def _down(upper: Values, lower: Values) -> Values:
    """The way from the upper lip's edge to the lower's, 1 where the gap is widest."""
    way = lower - upper
    return np.asarray(way / max(float(np.abs(way[:, 1]).max()), 1e-6), np.float64)
