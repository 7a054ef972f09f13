"""Who acts: a body with a look, a way to move and a place; and the figure that it is at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.samples.figure import draw, place
from pipeline.samples.looks import DANCER, Look, Mood
from pipeline.samples.paint import XY, Canvas, Oval
from pipeline.samples.pose import JOINTS, Body, Move, Point, dance, skeleton

#: The dancer's body; the character has a larger head, as characters do.
DANCER_BODY = Body()
CHARACTER_BODY = Body(head=0.112, neck=0.044)


@dataclass(frozen=True, slots=True)
class Figure:
    """A person at one moment, ready to be painted."""

    joints: Mapping[str, Point]
    body: Body
    look: Look
    mood: Mood
    #: Where the joints' origin is, and how many pixels a body height has.
    origin: XY
    scale: float

    def pixels(self) -> NDArray[np.float64]:
        """Every joint, ``(33, 2)``, in the order of ``JOINTS``."""
        at = place(self.joints, self.origin, self.scale)
        return np.array([at[name] for name in JOINTS])

    def seen(self, view: NDArray[np.float64]) -> Figure:
        """The figure as a camera sees it; ``view`` (3, 3) moves and turns pixels, and scales nothing."""
        x, y, _ = view @ (*self.origin, 1.0)
        flip = np.array([1.0, -1.0])
        turn = view[:2, :2] * np.outer(flip, flip)
        joints = {name: np.append(turn @ point[:2], point[2]) for name, point in self.joints.items()}
        return replace(self, joints=joints, origin=(float(x), float(y)))

    def paint(self, canvas: Canvas) -> None:
        draw(canvas, self.joints, self.body, self.look, self.mood, self.origin, self.scale)

    def shade(self, canvas: Canvas) -> None:
        """Soft contact shadows: fainter under a lifted foot."""
        x0, y0, scale = *self.origin, self.scale
        for side in ("left", "right"):
            x, y, _ = (self.joints[f"{side}_heel"] + self.joints[f"{side}_foot_index"]) / 2
            lift = max(0.0, float(y) - 0.02)
            spot = Oval((x0 + x * scale, y0 + 0.012 * scale), 0.058 * scale, 0.016 * scale)
            canvas.fill(spot, (30, 18, 16), opacity=0.5 * float(np.exp(-lift * 14)), soft=0.022 * scale)
        middle = (self.joints["left_hip"] + self.joints["right_hip"]) / 2
        wide = Oval((x0 + middle[0] * scale, y0 + 0.012 * scale), 0.17 * scale, 0.026 * scale)
        canvas.fill(wide, (30, 18, 16), opacity=0.22, soft=0.04 * scale)


@dataclass(frozen=True, slots=True)
class Actor:
    """A person of a made video."""

    look: Look = DANCER
    body: Body = DANCER_BODY
    #: The pose at each second.
    move: Callable[[float], Move] = dance
    #: The height and the place of the feet, as shares of the frame.
    tall: float = 0.72
    feet: tuple[float, float] = (0.5, 0.91)

    def figure(self, second: float, width: int, height: int) -> Figure:
        """The actor at a moment, in a frame of ``width`` and ``height``."""
        origin = (self.feet[0] * width, self.feet[1] * height)
        joints = skeleton(self.body, self.move(second))
        return Figure(joints, self.body, self.look, mood(second), origin, self.tall * height)


def mood(second: float) -> Mood:
    """Blinks now and then, and sings along."""
    blink = second % 2.7
    eyes = abs(blink - 2.5) / 0.1 if abs(blink - 2.5) < 0.1 else 1.0
    return Mood(eyes=eyes, mouth=0.45 + 0.35 * float(np.sin(second * 2 * np.pi)) ** 2)
