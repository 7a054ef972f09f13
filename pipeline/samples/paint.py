"""A small painter: shapes as distances to their edge, which give smooth edges, outlines and relief."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Color = tuple[float, float, float]
XY = tuple[float, float]
#: A colour for every pixel: from the pixels' x and y.
Paint = Color | Callable[[Field, Field], Field]

#: Where the light comes from: above, the left, the viewer's side.
_LIGHT = np.array([-0.42, -0.55, 0.72], np.float32)
_SUPERSAMPLE = 4
_INK = np.array([0.42, 0.36, 0.42], np.float32)  # an outline is its own colour, darker


def xy(point: NDArray[np.float64]) -> XY:
    return float(point[0]), float(point[1])


def array(color: Color) -> Field:
    return np.array(color, np.float32)


def quantized(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    return levels


def dyed(color: Color, other: Color, field: Field) -> Field:
    """``other`` where ``field`` is above 0, ``color`` elsewhere, with a smooth edge in between."""
    down, right = np.gradient(field)
    part = np.clip(field / (np.hypot(down, right) + 1e-6) + 0.5, 0, 1)[..., None]
    return np.asarray(array(color) * (1 - part) + array(other) * part, np.float32)


def scaled(color: Color, by: float) -> Color:
    """A darker or lighter colour."""
    red, green, blue = (min(255.0, part * by) for part in color)
    return red, green, blue


def mixed(color: Color, other: Color, part: float) -> Color:
    """A colour with ``part`` of another in it."""
    red, green, blue = (a + (b - a) * part for a, b in zip(color, other, strict=True))
    return red, green, blue


@dataclass(frozen=True, slots=True)
class Chain:
    """A limb: round cones through points, each with its radius; cut straight at its end where ``flat``."""

    points: Sequence[XY]
    radii: Sequence[float]
    flat: bool = False

    @property
    def box(self) -> tuple[float, float, float, float]:
        points, radii = np.array(self.points), np.array(self.radii)[:, None]
        return (*(points - radii).min(0), *(points + radii).max(0))

    def distance(self, x: Field, y: Field) -> Field:
        return self._measure(x, y)[0]

    def along(self, x: Field, y: Field) -> Field:
        """How far along the limb each pixel is: 0 at its first point, 1 at its second, and on."""
        return self._measure(x, y)[1]

    def _measure(self, x: Field, y: Field) -> tuple[Field, Field]:
        best = np.full(np.broadcast(x, y).shape, np.inf, np.float32)
        along = np.zeros_like(best)
        points, radii = list(self.points), list(self.radii)
        for index in range(len(points) - 1):
            (ax, ay), (bx, by) = points[index], points[index + 1]
            dx, dy = bx - ax, by - ay
            part = ((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, 1e-6)
            inside = np.clip(part, 0, 1)
            radius = radii[index] + (radii[index + 1] - radii[index]) * inside
            distance = np.hypot(x - ax - dx * inside, y - ay - dy * inside) - radius
            end = part if index == len(points) - 2 else np.minimum(part, 1)
            along = np.where(distance < best, index + np.maximum(end, 0), along)
            best = np.minimum(best, distance)
        if self.flat:
            (ax, ay), (bx, by) = points[-2], points[-1]
            length = float(np.hypot(bx - ax, by - ay))
            beyond = ((x - bx) * (bx - ax) + (y - by) * (by - ay)) / max(length, 1e-6)
            near_end = np.hypot(x - bx, y - by) < length + radii[-1]
            best = np.where(near_end, np.maximum(best, beyond), best)
        return best.astype(np.float32), along.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Oval:
    """An ellipse, turned by an angle in radians."""

    center: XY
    rx: float
    ry: float
    angle: float = 0.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        (x, y), radius = self.center, max(self.rx, self.ry)
        return x - radius, y - radius, x + radius, y + radius

    def distance(self, x: Field, y: Field) -> Field:
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        dx, dy = x - self.center[0], y - self.center[1]
        u, v = (dx * cos + dy * sin) / self.rx, (dy * cos - dx * sin) / self.ry
        # First order: exact on the edge, where it matters.
        near = np.hypot(u, v)
        slope = np.hypot(u / self.rx, v / self.ry)
        return np.where(
            slope > 1e-6, near * (near - 1) / np.maximum(slope, 1e-6), -min(self.rx, self.ry)
        ).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Blob:
    """A closed curve; smooth through its points, or straight between them."""

    points: Sequence[XY]
    smooth: bool = True

    def _outline(self) -> NDArray[np.float64]:
        points = np.array(self.points, float)
        if not self.smooth:
            return points
        steps = np.linspace(0, 1, 9)[:-1, None]
        before, after, later = (np.roll(points, shift, 0) for shift in (1, -1, -2))
        pieces = [
            0.5
            * (
                2 * b
                + (c - a) * steps
                + (2 * a - 5 * b + 4 * c - d) * steps**2
                + (3 * (b - c) + d - a) * steps**3
            )
            for a, b, c, d in zip(before, points, after, later, strict=True)
        ]
        return np.concatenate(pieces)

    @property
    def box(self) -> tuple[float, float, float, float]:
        outline = self._outline()
        return (*outline.min(0), *outline.max(0))

    def distance(self, x: Field, y: Field) -> Field:
        height, width = np.broadcast(x, y).shape
        scale = _SUPERSAMPLE
        canvas = np.zeros((height * scale, width * scale), np.uint8)
        corner = np.array([float(x.flat[0]) - 0.5, float(y.flat[0]) - 0.5])
        cv2.fillPoly(canvas, [np.round((self._outline() - corner) * scale).astype(np.int32)], (255,))
        inside = cv2.distanceTransform(canvas, cv2.DIST_L2, 5)
        outside = cv2.distanceTransform(255 - canvas, cv2.DIST_L2, 5)
        distance = cv2.resize((outside - inside) / scale, (width, height), interpolation=cv2.INTER_AREA)
        return distance.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Union:
    """Shapes grown together, with ``round`` pixels of web between them."""

    shapes: Sequence[Chain | Oval | Blob]
    round: float = 1.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        boxes = np.array([shape.box for shape in self.shapes])
        return (*boxes[:, :2].min(0), *boxes[:, 2:].max(0))

    def distance(self, x: Field, y: Field) -> Field:
        distance = self.shapes[0].distance(x, y)
        for shape in self.shapes[1:]:
            other = shape.distance(x, y)
            overlap = np.clip(self.round - np.abs(distance - other), 0, None) / self.round
            distance = np.minimum(distance, other) - overlap * overlap * self.round / 4
        return distance


Shape = Chain | Oval | Blob | Union


class Canvas:
    """Premultiplied colour and alpha, painted back to front."""

    def __init__(self, width: int, height: int) -> None:
        self.rgb = np.zeros((height, width, 3), np.float32)
        self.alpha = np.zeros((height, width), np.float32)

    def fill(
        self,
        shape: Shape,
        paint: Paint,
        *,
        relief: float = 0.0,
        line: float = 0.0,
        inside: Shape | None = None,
        joined: Shape | None = None,
        opacity: float = 1.0,
        soft: float = 1.0,
    ) -> None:
        """Paint a shape.

        ``relief`` is the radius over which its edge is rounded, ``line`` the width of its outline,
        ``inside`` another shape it may not leave, ``joined`` one inside of which it has no outline,
        ``soft`` the width of its edge; all in pixels.
        """
        height, width = self.alpha.shape
        x0, y0, x1, y1 = shape.box
        left, top = max(0, int(x0 - soft - 2)), max(0, int(y0 - soft - 2))
        right, bottom = min(width, int(x1 + soft + 3)), min(height, int(y1 + soft + 3))
        if left >= right or top >= bottom:
            return
        y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
        distance = shape.distance(x, y)
        color = np.asarray(paint(x, y) if callable(paint) else paint, np.float32) * np.ones(
            (1, 1, 3), np.float32
        )
        if relief:
            color = _lit(color, distance, relief)
        if line:
            ink: Field = np.clip((distance + line) / 1.2 + 0.5, 0, 1)[..., None] * np.float32(0.72)
            if joined is not None:
                ink *= np.clip(joined.distance(x, y) / line + 0.5, 0, 1)[..., None]
            color = color * (1 - ink) + color * _INK * ink
        if inside is not None:
            distance = np.maximum(distance, inside.distance(x, y))
        alpha = np.clip(0.5 - distance / soft, 0, 1) * opacity
        part = (slice(top, bottom), slice(left, right))
        self.rgb[part] = self.rgb[part] * (1 - alpha[..., None]) + color * alpha[..., None]
        self.alpha[part] = self.alpha[part] * (1 - alpha) + alpha

    def over(self, background: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The painting on a background of its size."""
        mixed = background * (1 - self.alpha[..., None]) + self.rgb
        return quantized(mixed)

    def rgba(self) -> NDArray[np.uint8]:
        """Straight (not premultiplied) RGBA."""
        rgb = self.rgb / np.maximum(self.alpha, 1e-3)[..., None]
        both = np.dstack([rgb, self.alpha * 255])
        return quantized(both)


def _lit(color: Field, distance: Field, radius: float) -> Field:
    """Shade as if the shape's edge were rounded, by a light from above, at the left."""
    down, right = np.gradient(cv2.GaussianBlur(distance, (0, 0), 1.2 + radius * 0.12))
    tilt = 1 - np.clip(-distance / radius, 0, 1)
    nx, ny = right * tilt, down * tilt
    nz = np.sqrt(np.clip(1 - nx * nx - ny * ny, 0.02, 1))
    light = np.clip(nx * _LIGHT[0] + ny * _LIGHT[1] + nz * _LIGHT[2], 0, 1)
    shade = (0.62 + 0.54 * light)[..., None]
    cool = array((0.97, 0.98, 1.05))  # shadows lose a little warmth
    shaded = color * np.where(shade < 1, shade * (cool * (1 - shade) + shade), shade)
    return np.asarray(np.clip(shaded, 0, 255), np.float32)
