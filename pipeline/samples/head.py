"""The heads of the people of the samples: hair, and a face that can blink and sing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.samples.looks import Look, Mood
from pipeline.samples.paint import XY, Blob, Canvas, Chain, Oval, mixed, scaled
from pipeline.samples.pose import Body


class Head:
    """Draws hair and face, and knows where things are."""

    def __init__(self, canvas: Canvas, at: Mapping[str, XY], body: Body, look: Look, scale: float) -> None:
        self.canvas, self.at, self.body, self.look, self.scale = canvas, at, body, look, scale
        self.line = max(1.0, 0.0034 * scale)

    def on_head(self, aside: float, height: float) -> XY:
        """In half heights of the head, from its middle."""
        center, crown = np.array(self.at["head"]), np.array(self.at["crown"])
        up = crown - center
        place = center + up * height + np.array([-up[1], up[0]]) * aside
        return float(place[0]), float(place[1])

    def head_oval(self, aside: float, height: float, rx: float, ry: float) -> Oval:
        center, crown = self.at["head"], self.at["crown"]
        size = self.body.head * self.scale
        turn = float(np.arctan2(crown[0] - center[0], center[1] - crown[1]))
        return Oval(self.on_head(aside, height), rx * size, ry * size, turn)

    def head_blob(self, half: list[XY], *, smooth: bool = True) -> Blob:
        """A shape that is the same on both sides: ``half`` goes from the bottom to the top."""
        other = [(-u, v) for u, v in reversed(half) if abs(u) > 1e-6]
        return Blob([self.on_head(u, v) for u, v in half + other], smooth)

    def hair_behind(self) -> None:
        look, size = self.look, self.body.head * self.scale
        if look.hairstyle == "buns":
            for sign in (-1, 1):
                bun = self.head_oval(0.74 * sign, 0.98, 0.42, 0.42)
                self.canvas.fill(bun, look.hair, relief=0.36 * size, line=self.line)
                self.canvas.fill(self.head_oval(0.6 * sign, 0.76, 0.2, 0.12), look.shoes, relief=0.1 * size)
            half = [
                (0.0, -0.85),
                (0.62, -0.86),
                (0.98, -0.5),
                (1.02, 0.1),
                (0.9, 0.72),
                (0.5, 1.08),
                (0.0, 1.16),
            ]
            self.canvas.fill(self.head_blob(half), look.hair, relief=0.5 * size, line=self.line)
            return
        for angle in np.linspace(-0.15, np.pi + 0.15, 13):
            curl = self.head_oval(0.78 * np.cos(angle), 0.22 + 0.82 * np.sin(angle), 0.34, 0.34)
            self.canvas.fill(curl, look.hair, relief=0.3 * size, line=self.line)

    def head(self, mood: Mood) -> None:
        look, size = self.look, self.body.head * self.scale
        for sign in (-1, 1):
            self.canvas.fill(
                self.head_oval(0.79 * sign, -0.04, 0.13, 0.2), look.skin, relief=0.12 * size, line=self.line
            )
        half = [
            (0.0, -1.0),
            (0.36, -0.9),
            (0.64, -0.56),
            (0.77, -0.05),
            (0.76, 0.42),
            (0.52, 0.86),
            (0.0, 1.02),
        ]
        face = self.head_blob(half)
        self.canvas.fill(face, look.skin, relief=0.55 * size, line=self.line)
        blush = mixed(look.skin, (238, 70, 70), 0.2)
        for sign in (-1, 1):
            self.canvas.fill(
                self.head_oval(0.48 * sign, -0.24, 0.17, 0.12),
                blush,
                opacity=0.8,
                soft=0.12 * size,
                inside=face,
            )
        if look.freckles:
            dark = scaled(look.skin, 0.8)
            for u, v in (
                (-0.5, -0.16),
                (-0.4, -0.22),
                (-0.56, -0.26),
                (0.5, -0.16),
                (0.4, -0.22),
                (0.56, -0.26),
            ):
                self.canvas.fill(self.head_oval(u, v, 0.026, 0.026), dark)
        for sign in (-1, 1):
            self._eye(sign, mood)
        self._nose()
        self._mouth(face, mood)
        self._hair_before(face)

    def _eye(self, sign: int, mood: Mood) -> None:
        size, look = self.body.head * self.scale, self.look
        ink, large = (44, 28, 30), look.eyes
        tall = 0.185 * max(mood.eyes, 0.02) * large
        if mood.eyes > 0.2:
            white = self.head_oval(0.31 * sign, 0.1, 0.15 * large, tall)
            self.canvas.fill(white, (255, 253, 250))
            for color, radius in ((look.iris, 0.11), ((24, 18, 22), 0.062)):
                self.canvas.fill(
                    self.head_oval(0.3 * sign, 0.09, radius * large, radius * 1.2 * large),
                    color,
                    inside=white,
                )
            self.canvas.fill(
                self.head_oval(0.3 * sign + 0.045, 0.155, 0.034 * large, 0.038 * large), (255, 255, 255)
            )
        across = np.linspace(-0.155, 0.175, 9) * large
        lid = [
            self.on_head((0.31 + u) * sign, 0.1 + tall * np.sqrt(max(0, 1 - (u / large / 0.16) ** 2)))
            for u in across
        ]
        self.canvas.fill(Chain(lid, [0.028 * size] * 9), ink)
        rise = 0.4 + 0.05 * mood.mouth + 0.12 * (large - 1)
        brow = [
            self.on_head((0.31 + u) * sign, rise + 0.06 * (1 - (u / 0.2) ** 2))
            for u in np.linspace(-0.17, 0.2, 7)
        ]
        dark = scaled(look.hair, 0.75)
        self.canvas.fill(Chain(brow, list(np.linspace(0.045, 0.025, 7) * size)), dark)

    def _nose(self) -> None:
        size = self.body.head * self.scale
        dark = scaled(self.look.skin, 0.8)
        arc = [self.on_head(0.085 * u, -0.16 - 0.06 * (1 - u * u)) for u in np.linspace(-1, 1, 7)]
        self.canvas.fill(Chain(arc, [0.024 * size] * 7), dark)

    def _mouth(self, face: Blob, mood: Mood) -> None:
        size = self.body.head * self.scale
        wide, depth = 0.28, 0.15 + 0.17 * mood.mouth
        upper = [(u, -0.43 - 0.09 * (1 - (u / wide) ** 2)) for u in np.linspace(-wide, wide, 7)]
        lower = [(u, -0.43 - depth * (1 - (u / wide) ** 2)) for u in np.linspace(wide * 0.8, -wide * 0.8, 6)]
        lips = Blob([self.on_head(*p) for p in upper + lower])
        self.canvas.fill(lips, (122, 34, 44), inside=face)
        self.canvas.fill(self.head_oval(0, -0.48 - depth * 0.9, 0.15, 0.09), (232, 108, 110), inside=lips)
        teeth = Chain(
            [self.on_head(-0.2, -0.465), self.on_head(0, -0.525), self.on_head(0.2, -0.465)],
            [0.042 * size] * 3,
        )
        self.canvas.fill(teeth, (255, 252, 246), inside=lips)

    def _hair_before(self, face: Blob) -> None:
        look, size = self.look, self.body.head * self.scale
        if look.hairstyle == "buns":
            half = [(-0.86, -0.3), (-0.94, 0.2), (-0.84, 0.74), (-0.46, 1.06)]
            fringe = [*half, (0.0, 1.13), *[(-u, v) for u, v in reversed(half)]]
            inner = [(0.72, 0.16), (0.58, 0.5), (0.3, 0.58), (-0.02, 0.74), (-0.14, 0.54), (-0.4, 0.6)]
            inner += [(-0.66, 0.4), (-0.74, 0.1)]
            self.canvas.fill(
                Blob([self.on_head(*p) for p in fringe + inner]), look.hair, relief=0.3 * size, line=self.line
            )
            shine = scaled(look.hair, 1.25)
            arc = [self.on_head(u, 0.84 - 0.28 * u * u) for u in np.linspace(-0.62, -0.05, 6)]
            self.canvas.fill(
                Chain(arc, list(np.array([0.01, 0.04, 0.055, 0.05, 0.03, 0.01]) * size)), shine, opacity=0.7
            )
            return
        for u, v in (
            (-0.72, 0.5),
            (-0.56, 0.74),
            (-0.3, 0.88),
            (0.0, 0.93),
            (0.3, 0.88),
            (0.56, 0.74),
            (0.72, 0.5),
        ):
            self.canvas.fill(self.head_oval(u, v, 0.21, 0.21), look.hair, relief=0.2 * size, line=self.line)
        for u, v in ((-0.4, 0.98), (-0.1, 1.08), (0.22, 1.04), (0.48, 0.92)):
            self.canvas.fill(self.head_oval(u, v, 0.26, 0.26), look.hair, relief=0.24 * size, line=self.line)
