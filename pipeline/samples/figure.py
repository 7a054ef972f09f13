"""The people of the samples, drawn from their joints."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pipeline.samples.head import Head
from pipeline.samples.looks import Look, Mood
from pipeline.samples.paint import XY, Blob, Canvas, Chain, Color, Field, Oval, Union, dyed, scaled, xy
from pipeline.samples.pose import Body, Point


def place(joints: Mapping[str, Point], origin: XY, scale: float) -> dict[str, XY]:
    """Joints in pixels, for a body ``scale`` pixels high that stands at ``origin``."""
    return {name: (origin[0] + p[0] * scale, origin[1] - p[1] * scale) for name, p in joints.items()}


def draw(
    canvas: Canvas, joints: Mapping[str, Point], body: Body, look: Look, mood: Mood, origin: XY, scale: float
) -> None:
    """Paint the person onto ``canvas``, back to front."""
    person = _Person(canvas, place(joints, origin, scale), body, look, scale)
    person.hair_behind()
    person.shoes()
    person.neck()
    for garment in (person.shirt, person.trousers) if look.dungarees else (person.trousers, person.shirt):
        garment()
    for side in ("left", "right"):
        person.arm(side)
    person.head(mood)


class _Person(Head):
    """A head with a body below it."""

    def mix(self, a: str, b: str, part: float) -> XY:
        (ax, ay), (bx, by) = self.at[a], self.at[b]
        return ax + (bx - ax) * part, ay + (by - ay) * part

    def on_torso(self, aside: float, height: float) -> XY:
        """Aside in half widths towards the person's left, height 0 at the hips, 1 at the shoulders."""
        hip = np.add(self.at["left_hip"], self.at["right_hip"]) / 2
        chest = np.add(self.at["left_shoulder"], self.at["right_shoulder"]) / 2
        low = (
            np.subtract(self.at["left_hip"], self.at["right_hip"]) / 2 * (self.body.shoulder / self.body.hip)
        )
        high = np.subtract(self.at["left_shoulder"], self.at["right_shoulder"]) / 2
        place = hip + (chest - hip) * height + (low + (high - low) * height) * aside
        return float(place[0]), float(place[1])

    def trousers(self) -> None:
        look, scale = self.look, self.scale
        legs = [
            Chain(
                [
                    self.at[f"{side}_hip"],
                    self.at[f"{side}_knee"],
                    self.mix(f"{side}_knee", f"{side}_ankle", 0.94),
                ],
                [0.054 * scale, 0.043 * scale, 0.037 * scale],
                flat=True,
            )
            for side in ("left", "right")
        ]
        top = 0.34 if look.dungarees else 0.1
        seat = [
            (-0.9, top),
            (-0.98, 0.1),
            (-1.0, -0.06),
            (-0.4, -0.2),
            (0.4, -0.2),
            (1.0, -0.06),
            (0.98, 0.1),
            (0.9, top),
        ]
        whole = Union([Blob([self.on_torso(*p) for p in seat], smooth=False), *legs], 0.02 * scale)

        def cloth(x: Field, y: Field) -> Field:
            near = [leg.distance(x, y) for leg in legs]
            along = np.where(near[0] < near[1], legs[0].along(x, y), legs[1].along(x, y))
            weave = 1 + 0.03 * np.sin((x + y) / scale * 620)[..., None]
            return np.asarray(dyed(look.trousers, look.cuff, along - 1.8) * weave, np.float32)

        self.canvas.fill(whole, cloth, relief=0.045 * scale, line=self.line)
        self._seams(top)
        if look.dungarees:
            self._bib()
            self._patch(self.mix("left_knee", "left_ankle", -0.02))

    def _seams(self, top: float) -> None:
        """The fly and the pockets."""
        dark = scaled(self.look.trousers, 0.66)
        fly = [self.on_torso(0, min(top, 0.12)), self.on_torso(0, -0.14)]
        self.canvas.fill(Chain(fly, [self.line * 0.45] * 2), dark)
        for sign in (-1, 1):
            mouth = [self.on_torso(u * sign, v) for u, v in ((0.5, 0.1), (0.58, -0.03), (0.9, -0.07))]
            self.canvas.fill(Chain(mouth, [self.line * 0.45] * 3), dark)

    def _patch(self, center: XY) -> None:
        side = 0.026 * self.scale
        corners = [(-1, -0.9), (0.9, -1), (1, 0.95), (-0.95, 1)]
        square = Blob([(center[0] + u * side, center[1] + v * side) for u, v in corners], smooth=False)

        def plaid(x: Field, y: Field) -> Field:
            checks = np.sin((x - center[0]) / side * 5) * np.sin((y - center[1]) / side * 5)
            return dyed(self.look.shoes, (250, 238, 226), checks)

        self.canvas.fill(square, plaid, line=self.line * 0.8)

    def shoes(self) -> None:
        for side in ("left", "right"):
            self._shoe(side)

    def _shoe(self, side: str) -> None:
        scale, heel, toe = (
            self.scale,
            np.array(self.at[f"{side}_heel"]),
            np.array(self.at[f"{side}_foot_index"]),
        )
        ankle = np.array(self.at[f"{side}_ankle"])
        white = self.look.shoes[0] > 235
        below = np.array([0.0, 0.013 * scale])
        sole = Chain([xy(heel + below), xy(toe + below)], [0.024 * scale, 0.03 * scale])
        middle = (heel + toe) / 2 - (0, 0.006 * scale)
        upper = Chain([xy(ankle), xy(middle), xy(toe)], [0.029 * scale, 0.033 * scale, 0.027 * scale])
        rubber: Color = (214, 74, 66) if white else (252, 248, 240)
        self.canvas.fill(sole, rubber, relief=0.02 * scale, line=self.line)
        self.canvas.fill(upper, self.look.shoes, relief=0.028 * scale, line=self.line)
        cap = Oval(xy(toe + below / 2), 0.025 * scale, 0.017 * scale)
        self.canvas.fill(
            cap, (222, 224, 226) if white else (252, 248, 240), relief=0.015 * scale, inside=upper
        )
        for part in (0.2, 0.4, 0.6):  # laces
            center = ankle + (toe - ankle) * part
            half = np.array([0.013 * scale, 0.0])
            ends = [xy(center - half), xy(center + half)]
            self.canvas.fill(
                Chain(ends, [0.0032 * scale] * 2), (252, 248, 240) if not white else (120, 130, 170)
            )

    def neck(self) -> None:
        limb = Chain(
            [self.on_torso(0, 0.98), self.on_head(0, -0.6)], [0.031 * self.scale, 0.029 * self.scale]
        )
        shade = scaled(self.look.skin, 0.86)
        self.canvas.fill(limb, shade, relief=0.03 * self.scale, line=self.line)

    def shirt(self) -> None:
        look, scale = self.look, self.scale
        body, sleeves = self._shirt_shape(), [self._sleeve(side) for side in ("left", "right")]
        jersey = self._jersey()

        def cloth(x: Field, y: Field) -> Field:
            color, nearest = jersey(x, y), body.distance(x, y)
            for sleeve in sleeves:
                along = sleeve.along(x, y) - 1
                striped = np.sin(along * 2 * np.pi * 3.5 + 0.6) - 0.1 if look.dungarees else along - 0.8
                own = (sleeve.distance(x, y) < nearest) & (along > 0.02)
                color = np.where(own[..., None], dyed(look.shirt, look.stripe, striped), color)
            return color

        whole = Union([body, *sleeves], 0.012 * scale)
        self.canvas.fill(whole, cloth, relief=0.045 * scale, line=self.line)
        collar = [(0.36, 1.1), (0.22, 0.99), (0, 0.95), (-0.22, 0.99), (-0.36, 1.1), (0, 1.06)]
        self.canvas.fill(Blob([self.on_torso(*p) for p in collar]), look.skin, line=self.line * 0.8)
        if not look.dungarees:
            self._emblem(body)

    def _sleeve(self, side: str) -> Chain:
        """From inside the shirt, so that the shoulder slopes instead of ending in a ball."""
        reach, scale = self.look.sleeves, self.scale
        names = [f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"]
        inner = self.on_torso(0.55 if side == "left" else -0.55, 0.86)
        if reach <= 1:
            ends, radii = [self.mix(names[0], names[1], reach)], [0.037]
        else:
            ends, radii = [self.at[names[1]], self.mix(names[1], names[2], reach - 1)], [0.032, 0.027]
        radii = [0.034, 0.034, *radii]
        return Chain([inner, self.at[names[0]], *ends], [scale * radius for radius in radii], flat=True)

    def _shirt_shape(self) -> Blob:
        half = [(0.3, 1.07), (0.7, 1.07), (1.06, 0.98), (1.06, 0.74), (0.94, 0.42), (0.92, 0.2), (1.0, 0.0)]
        hem = [(0.5, -0.05), (-0.5, -0.05)]
        points = [*half, *hem, *[(-u, v) for u, v in reversed(half)], (0, 1.0)]
        return Blob([self.on_torso(*p) for p in points])

    def _jersey(self) -> Callable[[Field, Field], Field]:
        """Stripes across the body: many for the character, one broad band for the dancer."""
        low, high = np.array(self.on_torso(0, 0)), np.array(self.on_torso(0, 1))
        axis = (high - low) / float((high - low) @ (high - low))

        def cloth(x: Field, y: Field) -> Field:
            height = (x - low[0]) * axis[0] + (y - low[1]) * axis[1]
            if self.look.dungarees:
                striped = np.sin(height * 2 * np.pi * 7) - 0.1
            else:
                striped = 0.05 - np.abs(height - 0.11)
            return dyed(self.look.shirt, self.look.stripe, striped)

        return cloth

    def _emblem(self, shirt: Blob) -> None:
        """A sun on the chest."""
        center = np.array(self.on_torso(0, 0.62))
        size = 0.042 * self.scale
        angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        rays = [
            tuple(center + size * (1.35 if i % 2 else 0.98) * np.array([np.cos(a), np.sin(a)]))
            for i, a in enumerate(angles)
        ]
        self.canvas.fill(Blob(rays, smooth=False), (255, 206, 84), inside=shirt)
        self.canvas.fill(Oval(tuple(center), size * 0.78, size * 0.78), (250, 236, 214), inside=shirt)
        self.canvas.fill(Oval(tuple(center), size * 0.5, size * 0.5), (58, 70, 122), inside=shirt)

    def _bib(self) -> None:
        look, scale = self.look, self.scale
        shirt = self._shirt_shape()
        for sign in (-1, 1):
            strap = Chain(
                [self.on_torso(0.5 * sign, 0.7), self.on_torso(0.62 * sign, 1.12)], [0.014 * scale] * 2
            )
            self.canvas.fill(strap, look.trousers, relief=0.014 * scale, line=self.line, inside=shirt)
        front = [(-0.72, 0.24), (-0.62, 0.74), (-0.54, 0.78), (0.54, 0.78), (0.62, 0.74), (0.72, 0.24)]
        below = Blob(
            [self.on_torso(*p) for p in [(-0.9, 0.33), (-0.9, 0.1), (0.9, 0.1), (0.9, 0.33)]], smooth=False
        )
        bib = Blob([self.on_torso(*p) for p in front], smooth=False)
        self.canvas.fill(bib, look.trousers, relief=0.02 * scale, line=self.line, joined=below)
        pocket = [(-0.34, 0.64), (0.34, 0.64), (0.34, 0.44), (0.2, 0.36), (-0.2, 0.36), (-0.34, 0.44)]
        self.canvas.fill(Blob([self.on_torso(*p) for p in pocket], smooth=False), look.cuff, line=self.line)
        self._heart(self.on_torso(0, 0.515), 0.018 * scale)
        for sign in (-1, 1):
            button = Oval(self.on_torso(0.5 * sign, 0.71), 0.0115 * scale, 0.0115 * scale)
            self.canvas.fill(button, look.shoes, relief=0.01 * scale, line=self.line * 0.8)

    def _heart(self, center: XY, size: float) -> None:
        t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        x = 16 * np.sin(t) ** 3
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        points = [(center[0] + u * size / 16, center[1] - v * size / 16) for u, v in zip(x, y, strict=True)]
        self.canvas.fill(Blob(points, smooth=False), self.look.shoes)

    def arm(self, side: str) -> None:
        """The skin that no sleeve covers."""
        look, scale, reach = self.look, self.scale, self.look.sleeves
        shoulder, elbow, wrist = f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"
        if reach <= 1:
            points, radii = [self.at[elbow], self.mix(shoulder, elbow, reach)], [0.025, 0.028]
        else:
            points, radii = [self.mix(elbow, wrist, reach - 1)], [0.02]
        limb = Chain([self.at[wrist], *points], [scale * radius for radius in (0.019, *radii)], flat=True)
        self.canvas.fill(limb, look.skin, relief=0.026 * scale, line=self.line)
        self._hand(side, limb)

    def _hand(self, side: str, limb: Chain) -> None:
        wrist, elbow = np.array(self.at[f"{side}_wrist"]), np.array(self.at[f"{side}_elbow"])
        size = self.body.hand * self.scale
        fore = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        toward = np.array(self.at[f"{side}_thumb"]) - wrist
        aside = toward - fore * (toward @ fore)
        aside /= np.linalg.norm(aside)

        def bone(start: XY, stop: XY, radius: float, end: float) -> Chain:
            """Between two places, each so far forward and so far thumbward."""
            spots = [
                xy(wrist + (fore * forward + aside * thumbward) * size)
                for forward, thumbward in (start, stop)
            ]
            return Chain(spots, [radius * size, end * size])

        fingers = [
            bone((0.5, root), (length, tip), 0.125, 0.105)
            for root, tip, length in (
                (-0.31, -0.47, 0.98),
                (-0.11, -0.16, 1.16),
                (0.1, 0.15, 1.2),
                (0.3, 0.44, 1.08),
            )
        ]
        thumb = bone((0.25, 0.26), (0.66, 0.72), 0.15, 0.12)
        palm = bone((0.1, 0), (0.48, 0), 0.33, 0.4)
        self.canvas.fill(
            Union([palm, thumb, *fingers], 0.06 * size),
            self.look.skin,
            relief=0.3 * size,
            line=self.line,
            joined=limb,
        )
