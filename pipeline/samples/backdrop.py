"""What stands behind the people: a room with a brick wall and a wooden floor, and a park.

Procedural, so that it is our own; rich in corners, so that a tracker finds its way; seeded, so that
it is always the same.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.samples.paint import Blob, Canvas, Chain, Color, Field, Oval, array

#: Where the wall meets the floor, as a share of the height.
HORIZON = 0.76
_GRAIN = 2.5  # levels; more would only cost bytes


def room(width: int, height: int) -> NDArray[np.uint8]:
    """The room in which the dancer dances, ``(height, width, 3)``."""
    canvas = Canvas(width, height)
    canvas.rgb[:], canvas.alpha[:] = _walls(width, height), 1
    unit = height / 720
    middle = width / 2
    _window(canvas, middle - 470 * unit, 96 * unit, unit)
    _poster(canvas, middle + 240 * unit, 110 * unit, unit)
    _shelf(canvas, middle + 392 * unit, 300 * unit, unit)
    _skirting(canvas, width, height, unit)
    _speaker(canvas, middle - 540 * unit, HORIZON * height + 62 * unit, unit)
    _plant(canvas, middle + 545 * unit, HORIZON * height + 66 * unit, unit)
    _lights(canvas, width, unit)
    return _finish(canvas, seed=3)


def park(width: int, height: int) -> NDArray[np.uint8]:
    """Hills, trees and a path under a summer sky."""
    canvas = Canvas(width, height)
    y = np.mgrid[0:height, 0:width][0].astype(np.float32)
    down = (y / height)[..., None]
    canvas.rgb[:] = array((126, 190, 236)) * (1 - down) + array((232, 240, 236)) * down
    canvas.alpha[:] = 1
    unit = height / 720
    for u, v, size in ((0.2, 0.13, 46), (0.74, 0.2, 58), (0.95, 0.08, 34)):
        for du, dv, share in ((-0.9, 0.12, 0.66), (0, 0, 1), (0.95, 0.15, 0.7)):
            puff = Oval(
                (u * width + du * size * unit, v * height + dv * size * unit),
                share * size * unit,
                share * size * 0.62 * unit,
            )
            canvas.fill(puff, (252, 252, 250), relief=size * unit * 0.8)
    for base, color, swing, shift in (
        (0.5, (150, 196, 140), 0.05, 0.4),
        (0.58, (118, 178, 104), 0.04, 2.6),
        (0.68, (98, 162, 84), 0.03, 4.4),
    ):
        ridge = [
            (u * width, (base + swing * np.sin(u * 5 + shift)) * height) for u in np.linspace(-0.1, 1.1, 14)
        ]
        hill = Blob([*ridge, (1.1 * width, 1.2 * height), (-0.1 * width, 1.2 * height)], smooth=False)
        canvas.fill(hill, color, relief=26 * unit)
    path = [
        (0.36, 1.02),
        (0.45, 0.86),
        (0.6, 0.77),
        (0.56, 0.7),
        (0.6, 0.7),
        (0.68, 0.78),
        (0.62, 0.88),
        (0.72, 1.02),
    ]
    canvas.fill(Blob([(u * width, v * height) for u, v in path]), (226, 204, 164), line=1.5 * unit)
    rng = np.random.default_rng(5)
    for u, v, size in ((0.08, 0.6, 74), (0.25, 0.55, 44), (0.83, 0.57, 54), (0.97, 0.63, 84)):
        _tree(canvas, u * width, v * height, size * unit, rng)
    petals: tuple[Color, ...] = ((250, 246, 236), (246, 206, 84), (232, 110, 120), (186, 140, 220))
    for _ in range(170):
        u, v = rng.random(), 0.74 + 0.25 * rng.random()
        radius = (1.0 + 4 * (v - 0.7)) * 2.2 * unit
        canvas.fill(Oval((u * width, v * height), radius, radius * 0.8), petals[rng.integers(4)])
    return _finish(canvas, seed=9)


def _walls(width: int, height: int) -> Field:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    unit, floor = height / 720, HORIZON * height
    wall = _bricks(x / unit, y / unit)
    planks = _planks((x - width / 2) / unit, (y - floor) / unit)
    both = np.where((y < floor)[..., None], wall, planks)
    # A warm pool of light where the dancing is, and dim corners.
    glow = np.exp(-(((x - width / 2) / (0.36 * width)) ** 2 + ((y - 0.5 * height) / (0.62 * height)) ** 2))
    return np.asarray(both * (0.62 + 0.5 * glow[..., None]) * array((1.02, 1, 0.98)), np.float32)


def _hash(a: Field, b: Field) -> Field:
    """A number from 0 to 1 for every pair of whole numbers, always the same."""
    mixed = (a.astype(np.int64) * 374761393 + b.astype(np.int64) * 668265263) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0xFFFFFFFF
    return np.asarray(((mixed ^ (mixed >> 16)) & 0xFFFF) / 65535.0, np.float32)


def _bricks(x: Field, y: Field) -> Field:
    long, tall, joint = 58.0, 23.0, 2.6
    row = np.floor(y / tall)
    along = x / long + 0.5 * (row % 2) + 0.12 * _hash(row, row * 0)
    column = np.floor(along)
    inside = np.minimum(
        np.minimum(along - column, 1 - along + column) * long,
        np.minimum(y / tall - row, 1 - y / tall + row) * tall,
    )
    tone = _hash(column, row)[..., None]
    color = array((92, 98, 138)) * (0.82 + 0.34 * tone) + array((14, 2, -8)) * (
        _hash(column + 9, row)[..., None] - 0.5
    )
    grain = 0.94 + 0.12 * _hash(np.floor(x / 2.5), np.floor(y / 2.5))[..., None]
    edge = np.clip((inside - joint / 2) / 1.6, 0, 1)[..., None]
    top = np.clip(1 - (y / tall - row) * tall / 5, 0, 1)[..., None] * 10
    return np.asarray((color * grain + top) * edge + array((58, 58, 84)) * (1 - edge), np.float32)


def _planks(x: Field, y: Field) -> Field:
    """Boards that run away from the viewer."""
    away = 330.0 / (330.0 + np.maximum(y, 0) * 2.2)  # 1 at the wall
    across = x * away / 46.0
    board = np.floor(across)
    depth = away * 9 + 3 * _hash(board, board * 0)
    piece = np.floor(depth)
    color = array((176, 116, 72)) * (0.84 + 0.3 * _hash(board, piece)[..., None])
    veins = 1 + 0.05 * np.sin((across - board) * 16 + 3 * np.sin(depth * 5 + board * 2.1))[..., None]
    seam = np.minimum(across - board, 1 - across + board) * 46 / away
    joint = np.minimum(depth - piece, 1 - depth + piece) * 60
    edge = np.clip(np.minimum(seam, joint) / 1.6, 0, 1)[..., None]
    return np.asarray(color * veins * (0.45 + 0.55 * edge), np.float32)


def _rectangle(x: float, y: float, width: float, height: float) -> Blob:
    return Blob([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], smooth=False)


def _window(canvas: Canvas, x: float, y: float, unit: float) -> None:
    wide, tall = 212 * unit, 262 * unit
    canvas.fill(
        _rectangle(x - 12 * unit, y - 12 * unit, wide + 24 * unit, tall + 24 * unit),
        (226, 214, 196),
        relief=7 * unit,
        line=2 * unit,
    )

    def dusk(_x: Field, py: Field) -> Field:
        part = np.clip((py - y) / tall, 0, 1)[..., None]
        return np.asarray(array((64, 70, 136)) * (1 - part) + array((252, 160, 110)) * part, np.float32)

    pane = _rectangle(x, y, wide, tall)
    canvas.fill(pane, dusk)
    canvas.fill(Oval((x + 150 * unit, y + 62 * unit), 21 * unit, 21 * unit), (255, 236, 196))
    rng = np.random.default_rng(1)
    left = x
    while left < x + wide:
        across, up = float(rng.uniform(22, 40)) * unit, float(rng.uniform(56, 150)) * unit
        canvas.fill(_rectangle(left, y + tall - up, across, up), (46, 42, 82), inside=pane)
        for row in range(int(up / (13 * unit))):
            for column in range(int(across / (9 * unit))):
                if rng.random() < 0.45:
                    lamp = _rectangle(
                        left + (3 + column * 9) * unit,
                        y + tall - up + (5 + row * 13) * unit,
                        4.4 * unit,
                        6 * unit,
                    )
                    canvas.fill(lamp, (255, 214, 120), inside=pane)
        left += across
    for bar in (
        _rectangle(x + wide / 2 - 4 * unit, y, 8 * unit, tall),
        _rectangle(x, y + tall * 0.46, wide, 8 * unit),
    ):
        canvas.fill(bar, (226, 214, 196), line=1.2 * unit)
    canvas.fill(
        _rectangle(x - 24 * unit, y + tall + 10 * unit, wide + 48 * unit, 14 * unit),
        (214, 200, 180),
        relief=6 * unit,
        line=2 * unit,
    )


def _poster(canvas: Canvas, x: float, y: float, unit: float) -> None:
    canvas.fill(_rectangle(x, y, 118 * unit, 158 * unit), (30, 32, 46), line=2 * unit)
    sheet = _rectangle(x + 7 * unit, y + 7 * unit, 104 * unit, 144 * unit)
    canvas.fill(sheet, (246, 226, 186))
    center = (x + 59 * unit, y + 92 * unit)
    for radius, color in (
        (62, (238, 120, 84)),
        (46, (246, 180, 84)),
        (30, (70, 160, 160)),
        (14, (40, 50, 90)),
    ):
        canvas.fill(Oval(center, radius * unit, radius * unit), color, inside=sheet)
    for index in range(5):
        bar = _rectangle(
            x + (18 + index * 18) * unit, y + 18 * unit, 11 * unit, (10 + 9 * ((index * 7) % 3)) * unit
        )
        canvas.fill(bar, (40, 50, 90), inside=sheet)


def _shelf(canvas: Canvas, x: float, y: float, unit: float) -> None:
    colors: tuple[Color, ...] = (
        (206, 84, 78),
        (236, 182, 82),
        (78, 152, 148),
        (232, 222, 202),
        (120, 96, 160),
        (70, 104, 150),
    )
    rng = np.random.default_rng(4)
    for level in range(2):
        base, left = y + level * 92 * unit, x + 6 * unit
        while left < x + 168 * unit:
            thick, tall = float(rng.uniform(9, 19)) * unit, float(rng.uniform(44, 68)) * unit
            color = colors[rng.integers(len(colors))]
            canvas.fill(_rectangle(left, base - tall, thick, tall), color, relief=3 * unit, line=1.2 * unit)
            canvas.fill(
                _rectangle(left + 2 * unit, base - tall * 0.8, thick - 4 * unit, 4 * unit), (246, 236, 214)
            )
            left += thick + (float(rng.uniform(12, 26)) * unit if rng.random() < 0.14 else 0.6 * unit)
        canvas.fill(
            _rectangle(x - 6 * unit, base, 190 * unit, 11 * unit),
            (150, 98, 62),
            relief=5 * unit,
            line=2 * unit,
        )


def _skirting(canvas: Canvas, width: int, height: int, unit: float) -> None:
    floor = HORIZON * height
    canvas.fill(
        _rectangle(-9, floor - 21 * unit, width + 18, 21 * unit),
        (206, 196, 186),
        relief=5 * unit,
        line=1.6 * unit,
    )
    shade = _rectangle(-9, floor, width + 18, 16 * unit)
    canvas.fill(shade, (40, 24, 18), opacity=0.45, soft=12 * unit)


def _speaker(canvas: Canvas, x: float, y: float, unit: float) -> None:
    _ground_shadow(canvas, x, y - 2 * unit, 78 * unit, 15 * unit)
    canvas.fill(
        _rectangle(x - 62 * unit, y - 214 * unit, 124 * unit, 210 * unit),
        (52, 48, 58),
        relief=9 * unit,
        line=2.2 * unit,
    )
    for high, radius in ((-160, 27), (-72, 46)):
        for share, color in (
            (1.0, (24, 24, 30)),
            (0.84, (92, 90, 104)),
            (0.56, (44, 44, 54)),
            (0.26, (120, 118, 132)),
        ):
            canvas.fill(
                Oval((x, y + high * unit), radius * share * unit, radius * share * unit),
                color,
                relief=radius * share * unit * 0.4,
            )
    canvas.fill(Oval((x + 44 * unit, y - 198 * unit), 4 * unit, 4 * unit), (120, 240, 160))


def _plant(canvas: Canvas, x: float, y: float, unit: float) -> None:
    _ground_shadow(canvas, x, y, 58 * unit, 12 * unit)
    rng = np.random.default_rng(8)
    for index, angle in enumerate(np.linspace(-1.15, 1.15, 11)):
        length = (112 + 44 * float(rng.random())) * unit
        tip = (x + np.sin(angle) * length, y - 66 * unit - np.cos(angle) * length)
        middle = (x + np.sin(angle) * length * 0.42, y - 66 * unit - np.cos(angle) * length * 0.62)
        green = (52 + 22 * (index % 3), 128 + 18 * (index % 2), 86)
        leaf = Chain([(x, y - 60 * unit), middle, tip], [5 * unit, 13 * unit, 2 * unit])
        canvas.fill(leaf, green, relief=10 * unit, line=1.5 * unit)
    pot = [
        (x - 38 * unit, y - 72 * unit),
        (x + 38 * unit, y - 72 * unit),
        (x + 28 * unit, y),
        (x - 28 * unit, y),
    ]
    canvas.fill(Blob(pot, smooth=False), (212, 110, 76), relief=18 * unit, line=2 * unit)
    canvas.fill(
        _rectangle(x - 42 * unit, y - 80 * unit, 84 * unit, 15 * unit),
        (226, 128, 90),
        relief=6 * unit,
        line=2 * unit,
    )


def _lights(canvas: Canvas, width: int, unit: float) -> None:
    colors: tuple[Color, ...] = ((255, 206, 100), (250, 130, 120), (130, 220, 210), (255, 236, 190))
    for span in range(3):
        ends = (span * width / 3, (span + 1) * width / 3)
        parts = np.linspace(0, 1, 25)
        wire = [(ends[0] + (ends[1] - ends[0]) * u, (20 + 150 * u * (1 - u)) * unit) for u in parts]
        canvas.fill(Chain(wire, [1.3 * unit] * len(wire)), (30, 30, 40))
        for index in range(2, 24, 4):
            place, color = (wire[index][0], wire[index][1] + 8 * unit), colors[(span + index // 4) % 4]
            canvas.fill(Oval(place, 26 * unit, 26 * unit), color, opacity=0.16, soft=26 * unit)
            canvas.fill(Oval(place, 6 * unit, 7.5 * unit), color, relief=5 * unit)


def _tree(canvas: Canvas, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    canvas.fill(
        Chain([(x, y), (x, y - size)], [size * 0.13, size * 0.09]), (132, 92, 66), relief=size * 0.1, line=1.5
    )
    for _ in range(9):
        place = (x + rng.normal(0, 0.36) * size, y - (1.45 + rng.normal(0, 0.26)) * size)
        green = (66 + rng.integers(34), 138 + rng.integers(34), 78 + rng.integers(20))
        radius = float(rng.uniform(0.36, 0.52)) * size
        canvas.fill(Oval(place, radius, radius * 0.9), green, relief=radius * 0.7, line=1.2)


def _ground_shadow(canvas: Canvas, x: float, y: float, rx: float, ry: float) -> None:
    canvas.fill(Oval((x, y), rx, ry), (34, 20, 16), opacity=0.5, soft=ry)


def _finish(canvas: Canvas, *, seed: int) -> NDArray[np.uint8]:
    """A still grain, as film would have; a flat wall gives a tracker nothing to hold."""
    height, width = canvas.alpha.shape
    grain = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 1.0) * _GRAIN
    return np.clip(np.round(canvas.rgb + grain[..., None]), 0, 255).astype(np.uint8)
