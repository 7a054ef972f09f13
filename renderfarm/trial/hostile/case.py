"""One spoilt file: which, and how, follows from the seed and its number alone."""

from __future__ import annotations

import random
from dataclasses import dataclass

from renderfarm.trial.hostile.mutations import mutations_for, spliced
from renderfarm.trial.hostile.seeds import Seeds

#: Of all files, so many are pictures; of all, so many are spliced.
_PICTURES, _SPLICED = 0.25, 0.08
#: How often a second thing is done to a file.
_TWICE = 0.2


@dataclass(frozen=True, slots=True)
class Case:
    """A render's two files, of which one is spoilt."""

    number: int
    #: What was done, for who looks for it: ``plain.mp4: sizes``.
    name: str
    picture: tuple[str, bytes]
    video: tuple[str, bytes]


def case(seeds: Seeds, seed: int, number: int) -> Case:
    """The case of that number."""
    dice = random.Random(f"{seed}:{number}")
    is_picture = dice.random() < _PICTURES
    kept = seeds.pictures if is_picture else seeds.clips
    name = dice.choice(sorted(kept))
    done: list[str] = []
    data = kept[name]
    if dice.random() < _SPLICED:
        other = dice.choice(sorted({**seeds.clips, **seeds.pictures}))
        data = spliced(data, {**seeds.clips, **seeds.pictures}[other], dice)
        done.append(f"spliced with {other}")
    while not done or dice.random() < _TWICE:
        mutation = dice.choice(mutations_for(name))
        data = mutation(data, dice) if data else data
        done.append(mutation.__name__)
    title = f"{name}: {', '.join(done)}"
    if is_picture:
        return Case(number, title, (name, data), ("clip.mp4", seeds.clips["plain.mp4"]))
    return Case(number, title, ("picture.png", seeds.pictures["a.png"]), (name, data))
