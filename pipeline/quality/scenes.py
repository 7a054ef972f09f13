"""The made scenes on which the picture is judged: one or two people, framings, cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from pipeline.samples.actor import Actor
from pipeline.samples.double import Double
from pipeline.samples.looks import DANCER, FRIEND, HERO
from pipeline.samples.play import Camera, Play
from pipeline.samples.pose import Body, Move, dance
from pipeline.samples.walk import stroll, walk

#: A body that is far from the driver's: a large head on short legs.
STOCKY = Body(
    **{"shoulder": 0.1, "hip": 0.055, "hip_height": 0.425, "torso": 0.27, "neck": 0.04, "head": 0.13},
    **{"upper_arm": 0.135, "forearm": 0.12, "hand": 0.056, "thigh": 0.198, "shin": 0.192},
)


@dataclass(frozen=True, slots=True)
class Role:
    """A character that takes an actor's place, and what its picture shows."""

    double: Double = field(default_factory=Double)
    #: The picture ends at the thighs.
    waist: bool = False
    #: The picture has a background of its own, and no alpha.
    scenery: bool = False


@dataclass(frozen=True, slots=True)
class MadeScene:
    """A play, and who takes each actor's place."""

    name: str
    play: Play
    roles: tuple[Role, ...]


#: Drivers in colours that the room has not: what still shows of them is not mistaken for the room.
_DRIVER = replace(DANCER, trousers=(48, 146, 84), cuff=(110, 190, 130))
_FRIEND = replace(FRIEND, shirt=(236, 214, 60), stripe=(250, 240, 200), trousers=(200, 70, 130))

#: Frames a second: even, so that a scene is short and its movement still smooth.
_RATE = Fraction(20)


def made_scenes(seed: int = 0, *, full: bool = False) -> tuple[MadeScene, ...]:
    """The scenes; ``seed`` chooses at which moments of the dance the short ones begin.

    ``full`` scenes last for the whole dance, and there are characters that are harder to move.
    """
    rng = np.random.default_rng(seed)
    seconds = 6.0 if full else 2.0
    hero, friend = Role(Double(look=HERO)), Role()
    # Without legs to hold on to, the detector loses the usual character, whose head is a comic's.
    waist = Double(look=HERO, body=Body(head=0.098, neck=0.048), whole=False)

    def play(*actors: Actor, camera: Camera | None = None, lasting: float = seconds) -> Play:
        start = float(rng.integers(0, 12)) / 2
        return Play(960, 540, lasting, _RATE, actors, camera or Camera(), start)

    full_body, waist_up = (
        Actor(_DRIVER, tall=0.76, feet=(0.5, 0.93)),
        Actor(_DRIVER, tall=1.3, feet=(0.5, 1.58)),
    )
    there_and_back = Actor(_DRIVER, move=walk(-0.62, 0.62, 2.4, stroll), tall=0.76, feet=(0.5, 0.93))
    side_by_side = (
        Actor(look=_FRIEND, move=_from(2.5), tall=0.7, feet=(0.27, 0.9)),
        Actor(_DRIVER, tall=0.72, feet=(0.73, 0.93)),
    )
    crossing = (
        Actor(look=_FRIEND, move=walk(-0.85, 0.85, 2.4, stroll), tall=0.68, feet=(0.5, 0.87)),
        Actor(_DRIVER, move=walk(0.85, -0.85, 2.4, stroll), tall=0.74, feet=(0.5, 0.93)),
    )
    scenes = [
        MadeScene("dance", play(full_body), (Role(),)),
        MadeScene("pan", play(full_body, camera=Camera(swing=0.15)), (Role(),)),
        MadeScene("handheld", play(full_body, camera=Camera(shake=0.004)), (Role(),)),
        MadeScene("walk", replace(play(there_and_back, lasting=2.4), start=0.0), (Role(),)),
        MadeScene("waist", play(waist_up), (Role(waist, waist=True),)),
        MadeScene("pair", play(*side_by_side), (hero, friend)),
        MadeScene("cross", replace(play(*crossing, lasting=2.4), start=0.0), (hero, friend)),
    ]
    if full:
        scenes += [
            MadeScene("stocky", play(full_body), (Role(Double(look=HERO, body=STOCKY)),)),
            MadeScene("scenery", play(full_body), (Role(scenery=True),)),
            MadeScene("close", play(waist_up), (Role(waist),)),
            MadeScene("shaken-pan", play(full_body, camera=Camera(swing=0.15, shake=0.004)), (Role(),)),
        ]
    return tuple(scenes)


def _from(second: float) -> Callable[[float], Move]:
    """The dance, begun at another moment."""
    return lambda at: dance(second + at)
