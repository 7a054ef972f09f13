"""What is done to good files: each takes the bytes and dice, and gives other bytes."""

from __future__ import annotations

import random
from collections.abc import Callable

from renderfarm.trial.hostile import containers, pictures

Mutation = Callable[[bytes, random.Random], bytes]

#: Where most of what a program decides by lies.
_HEAD = 1500


def flipped_bits(data: bytes, dice: random.Random) -> bytes:
    """Some bits anywhere."""
    return _flipped(data, dice, len(data))


def flipped_head(data: bytes, dice: random.Random) -> bytes:
    """Some bits of the beginning, and of the end, where indexes are."""
    spoilt = _flipped(data, dice, min(_HEAD, len(data)))
    return _flipped(spoilt[::-1], dice, min(_HEAD, len(data)))[::-1] if dice.random() < 0.5 else spoilt


def truncated(data: bytes, dice: random.Random) -> bytes:
    """Cut anywhere."""
    return data[: dice.randrange(len(data))]


def beheaded(data: bytes, dice: random.Random) -> bytes:
    """Without some bytes after the first."""
    start = dice.randrange(12, min(_HEAD, len(data)))
    return data[:start] + data[start + dice.randrange(1, 200) :]


def noise(data: bytes, dice: random.Random) -> bytes:
    """A stretch of something else."""
    start = dice.randrange(len(data))
    length = dice.randrange(1, max(2, len(data) // 4))
    other = dice.choice([dice.randbytes(length), bytes(length), b"\xff" * length])
    return data[:start] + other[: len(data) - start] + data[start + length :]


def shuffled(data: bytes, dice: random.Random) -> bytes:
    """A stretch is somewhere else, twice, or many times."""
    start, length = dice.randrange(len(data)), dice.randrange(1, max(2, len(data) // 4))
    part = data[start : start + length]
    rest = data if dice.random() < 0.5 else data[:start] + data[start + length :]
    place = dice.randrange(len(rest)) if rest else 0
    return rest[:place] + part * dice.choice([1, 1, 2, 50]) + rest[place:]


def numbers(data: bytes, dice: random.Random) -> bytes:
    """Numbers of four bytes that are at their limits."""
    spoilt = bytearray(data)
    for _ in range(dice.randrange(1, 8)):
        place = dice.randrange(max(1, min(len(data) - 4, 4 * _HEAD)))
        spoilt[place : place + 4] = dice.choice(containers.LIMITS)
    return bytes(spoilt)


#: For any file.
PLAIN: tuple[Mutation, ...] = (flipped_bits, flipped_head, truncated, beheaded, noise, shuffled, numbers)


def spliced(data: bytes, other: bytes, dice: random.Random) -> bytes:
    """The beginning of another file before the rest of this."""
    return other[: dice.randrange(8, min(_HEAD, len(other)))] + data[dice.randrange(len(data)) :]


def mutations_for(name: str) -> tuple[Mutation, ...]:
    """What can be done to a file of that name, besides splicing."""
    kind = name.rpartition(".")[2]
    return (*PLAIN, *containers.BY_KIND.get(kind, ()), *pictures.BY_KIND.get(kind, ()))


def _flipped(data: bytes, dice: random.Random, within: int) -> bytes:
    spoilt = bytearray(data)
    for _ in range(dice.choice([1, 2, 8, 64])):
        spoilt[dice.randrange(within)] ^= 1 << dice.randrange(8)
    return bytes(spoilt)
