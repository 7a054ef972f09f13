"""Who the people of the samples are: colours, clothes, hair."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.samples.paint import Color


@dataclass(frozen=True, slots=True)
class Look:
    """What a person wears and what colours they are made of."""

    skin: Color
    hair: Color
    iris: Color
    shirt: Color
    stripe: Color
    trousers: Color
    cuff: Color
    shoes: Color
    hairstyle: str  # "curls" or "buns"
    #: How far the sleeves reach: 1 is the elbow, 2 the wrist.
    sleeves: float
    dungarees: bool = False
    freckles: bool = False
    #: How large the eyes are.
    eyes: float = 1.0


#: Who dances in the driving video.
DANCER = Look(
    skin=(190, 128, 92),
    hair=(46, 30, 30),
    iris=(70, 44, 32),
    shirt=(232, 92, 74),
    stripe=(250, 236, 214),
    trousers=(66, 84, 142),
    cuff=(126, 148, 200),
    shoes=(240, 238, 232),
    hairstyle="curls",
    sleeves=0.62,
)
#: Who is to dance like that.
CHARACTER = Look(
    skin=(250, 208, 180),
    hair=(214, 92, 48),
    iris=(52, 128, 96),
    shirt=(248, 244, 232),
    stripe=(38, 150, 150),
    trousers=(244, 182, 52),
    cuff=(252, 220, 128),
    shoes=(222, 70, 84),
    hairstyle="buns",
    sleeves=1.86,
    dungarees=True,
    freckles=True,
    eyes=1.22,
)
#: Who comes along, and who is to move like them.
FRIEND = Look(
    skin=(238, 192, 160),
    hair=(112, 74, 44),
    iris=(62, 92, 140),
    shirt=(64, 142, 106),
    stripe=(222, 236, 214),
    trousers=(94, 78, 70),
    cuff=(150, 130, 116),
    shoes=(48, 50, 62),
    hairstyle="curls",
    sleeves=1.7,
)
HERO = Look(
    skin=(214, 158, 118),
    hair=(58, 50, 92),
    iris=(70, 60, 120),
    shirt=(112, 84, 176),
    stripe=(246, 214, 96),
    trousers=(60, 72, 96),
    cuff=(120, 140, 176),
    shoes=(240, 196, 70),
    hairstyle="curls",
    sleeves=0.7,
    eyes=1.2,
)


@dataclass(frozen=True, slots=True)
class Mood:
    """What the face does: eyes 0 closed to 1 open, mouth 0 a smile to 1 wide open."""

    eyes: float = 1.0
    mouth: float = 0.35
