"""What an engine is: something that lets a character perform what a person does."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.character import Character
from pipeline.perception.tracks import Person
from pipeline.spec import EngineId, Span

#: uint8 (H, W, 4): red, green, blue and alpha, premultiplied.
Rgba = NDArray[np.uint8]


class Continuity(enum.StrEnum):
    """Whether an engine can start at any frame."""

    INDEPENDENT = "independent"  # a frame is the same wherever the segment starts
    CHAINED = "chained"  # a segment needs the last frames of the one before


@dataclass(frozen=True, slots=True)
class Scene:
    """What an engine may know of the place its character will stand in; the same for a whole video."""

    #: Width and height of the frames.
    size: tuple[int, int]
    #: Frames a second.
    rate: float
    #: First frame of each shot but the first: nothing is smoothed across them.
    cuts: tuple[int, ...] = ()
    #: The row at which something in front of the driver (a desk) begins; None where nothing does.
    ledge: float | None = None
    #: Mean colour of the background, 0-1, linear; None where the character keeps its own light.
    light: tuple[float, float, float] | None = None
    #: Whether there is a ground for shadows to fall on.
    shadows: bool = False


class Engine(ABC):
    """Loaded once, used for many characters and segments."""

    name: str
    version: str
    continuity: Continuity

    @property
    def id(self) -> EngineId:
        """What makes one engine's pictures and scenes differ from another's."""
        return EngineId(self.name, self.version)

    @abstractmethod
    def setup(self, device: str) -> None:
        """Make ready on ``device``, ``"cpu"`` or ``"cuda"``. Called once, before all else."""

    @abstractmethod
    def perform(self, character: Character, person: Person, span: Span, scene: Scene) -> Iterator[Rgba]:
        """Yield ``len(span)`` frames of ``scene.size``: the character doing what the person does.

        The same arguments give the same bytes. Fully see-through where the person is absent.
        """
