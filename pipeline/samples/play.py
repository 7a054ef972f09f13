"""A play: actors in a room before a camera that stands, swings or shakes; every pixel's truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.samples.actor import Actor, Figure
from pipeline.samples.backdrop import room
from pipeline.samples.paint import Canvas

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Camera:
    """How the camera moves."""

    #: How far it swings to each side in six seconds, as a share of the width; in whole pixels.
    swing: float = 0.0
    #: How far a hand shakes it, as a share of the width: by parts of pixels, and with a little turn.
    shake: float = 0.0

    def margin(self, width: int) -> tuple[int, int]:
        """By how many pixels the room must be larger on each side, across and down."""
        shaken = int(np.ceil(4 * self.shake * width))
        return int(np.ceil(self.swing * width)) + shaken, shaken

    def view(self, second: float, width: int, height: int) -> NDArray[np.float64]:
        """From the room's pixels to the frame's, (3, 3)."""
        across, down = self.margin(width)
        shift = round(self.swing * width * float(np.sin(second / 6 * 2 * np.pi)))
        view = np.array([[1, 0, -across - shift], [0, 1, -down], [0, 0, 1]], np.float64)
        if self.shake == 0:
            return view
        waves = [np.sin(2 * np.pi * (0.9 * second + p)) + 0.4 * np.sin(2 * np.pi * (2.7 * second + 3 * p))
                 for p in (0.1, 0.45, 0.8)]  # fmt: skip
        x, y, turn = self.shake * width * waves[0], self.shake * width * waves[1], self.shake * waves[2]
        cos, sin = np.cos(turn), np.sin(turn)
        middle = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
        moved = np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])
        return np.asarray(middle @ moved @ np.linalg.inv(middle) @ view, np.float64)


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of a play."""

    picture: Picture
    #: The scene without anybody, as this frame's camera sees it.
    background: Picture
    #: What of each actor can be seen, 0-255, (H, W); in the order of the actors.
    masks: tuple[Picture, ...]
    #: How much of the background people and their shadows cover, 0-255, (H, W).
    cover: Picture
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Play:
    """A video to be made; sides must be even."""

    width: int
    height: int
    seconds: float
    rate: Fraction
    #: From the back to the front.
    actors: Sequence[Actor]
    camera: Camera = Camera()
    #: The second of the actors' movement at which the play begins.
    start: float = 0.0

    @property
    def frames(self) -> int:
        return round(self.seconds * self.rate)

    def world(self) -> Picture:
        """The whole room, of which the frames see a part."""
        across, down = self.camera.margin(self.width)
        return room(self.width + 2 * across, self.height + 2 * down)

    def views(self) -> NDArray[np.float64]:
        """From the room's pixels to those of every frame, ``(frames, 3, 3)``."""
        return np.array([self._view(index) for index in range(self.frames)])

    def figures(self, index: int) -> tuple[Figure, ...]:
        """The actors in a frame, in its pixels."""
        second, view = float(index / self.rate), self._view(index)
        across, down = self.camera.margin(self.width)
        into_room = np.array([[1, 0, across], [0, 1, down], [0, 0, 1]], np.float64)
        figures = (actor.figure(self.start + second, self.width, self.height) for actor in self.actors)
        return tuple(figure.seen(view @ into_room) for figure in figures)

    def moments(self, world: Picture) -> Iterator[Moment]:
        """Every frame, with its truth; ``world`` is what ``world`` gives."""
        for index in range(self.frames):
            background = look(world, self._view(index), (self.width, self.height))
            yield painted(background, self.figures(index))

    def _view(self, index: int) -> NDArray[np.float64]:
        return self.camera.view(float(index / self.rate), self.width, self.height)


def painted(background: Picture, figures: Sequence[Figure]) -> Moment:
    """``figures``, from the back to the front, before ``background``."""
    height, width = background.shape[:2]
    floor = Canvas(width, height)
    for figure in figures:
        figure.shade(floor)
    picture = floor.over(background)
    visible: list[NDArray[np.float32]] = []
    free = 1 - floor.alpha
    for figure in figures:
        person = Canvas(width, height)
        figure.paint(person)
        picture = person.over(picture)
        visible = [alpha * (1 - person.alpha) for alpha in visible]
        visible.append(person.alpha)
        free = free * (1 - person.alpha)
    masks = tuple(_levels(alpha) for alpha in visible)
    return Moment(picture, background, masks, _levels(1 - free), tuple(figures))


def look(world: Picture, view: NDArray[np.float64], size: tuple[int, int]) -> Picture:
    """The part of ``world`` (H, W[, 3]) that a frame of ``size`` = (width, height) sees."""
    width, height = size
    x, y = -view[:2, 2]
    if np.array_equal(view[:2, :2], np.eye(2)) and x == round(x) and y == round(y):
        return world[int(y) : int(y) + height, int(x) : int(x) + width]
    return np.asarray(cv2.warpPerspective(world, view, size, flags=cv2.INTER_CUBIC), np.uint8)


def _levels(share: NDArray[np.float32]) -> Picture:
    return np.asarray(np.round(share * 255), np.uint8)
