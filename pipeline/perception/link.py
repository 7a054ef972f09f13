"""Who is who over a whole video: the finds of all pieces linked into people.

A tracklet is what one slot of one piece saw without a break. Within a shot tracklets are linked by
where they are and how they look; across cuts, and over long absences, by looks alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.bodies import apart
from pipeline.perception.looks import unlike
from pipeline.perception.pieces import Piece

Floats = NDArray[np.float32]

#: Seconds for which somebody may be hidden and still be linked by place; what place and looks may cost.
_HIDDEN, _DEAREST = 4.0, 1.7
#: Differences of looks (CIELAB) that count as much as a body's size of distance; of the same clothes;
#: and that are forgiven to the only person of a shot who may be the only one of another.
_LOOK_UNIT, _SAME, _ONLY = 14.0, 10.0, 28.0
#: Finds of more people than this are noise.
_MOST_CHAINS = 40


@dataclass(frozen=True, slots=True)
class Tracklet:
    """Frames ``[first, last]`` of one slot."""

    piece: int
    slot: int
    first: int
    last: int
    #: float32 (33, 4) at ``first`` and at ``last``.
    begins: Floats
    ends: Floats
    look: Floats
    shot: int


#: The tracklets of one person in order of time.
Chain = tuple[Tracklet, ...]


def people_of(pieces: Sequence[Piece], shots: Sequence[tuple[int, int]], rate: float) -> list[Chain]:
    """Everybody in the video, as chains of tracklets."""
    tracklets = [each for index, piece in enumerate(pieces) for each in _tracklets(index, piece, shots)]
    chains = [
        chain
        for shot in range(len(shots))
        for chain in _linked([each for each in tracklets if each.shot == shot], rate)
    ]
    chains.sort(key=lambda chain: (-sum(each.last - each.first for each in chain), chain[0].first))
    return _merged(chains[:_MOST_CHAINS])


def _tracklets(index: int, piece: Piece, shots: Sequence[tuple[int, int]]) -> Iterator[Tracklet]:
    starts = np.array([start for start, _ in shots])
    for slot, joints in enumerate(piece.joints):
        seen = np.flatnonzero(np.isfinite(joints[:, 0, 0]))
        for frames in _by(seen, lambda frame: int(np.searchsorted(starts, piece.start + frame, "right"))):
            first, last = frames[0], frames[-1]
            shot = int(np.searchsorted(starts, piece.start + first, "right")) - 1
            yield Tracklet(
                *(index, slot, piece.start + first, piece.start + last),
                *(joints[first], joints[last], piece.looks[slot], shot),
            )


def _by(values: Iterable[int], key: Callable[[int], int]) -> Iterator[list[int]]:
    for _, group in itertools.groupby((int(value) for value in values), key):
        yield list(group)


def _linked(tracklets: Sequence[Tracklet], rate: float) -> list[Chain]:
    """The tracklets of one shot in chains: who follows whom, the cheapest pairs first."""
    pairs = sorted(
        (price, i, j)
        for (i, one), (j, other) in itertools.permutations(enumerate(tracklets), 2)
        if (price := _price(one, other, rate)) < _DEAREST
    )
    after: dict[int, int] = {}
    for _, i, j in pairs:
        if i not in after and j not in after.values():
            after[i] = j
    chains: list[Chain] = []
    for number in range(len(tracklets)):
        if number not in after.values():
            chain = [number]
            while chain[-1] in after:
                chain.append(after[chain[-1]])
            chains.append(tuple(tracklets[i] for i in chain))
    return chains


def _price(one: Tracklet, other: Tracklet, rate: float) -> float:
    """What it costs to take ``other`` for ``one`` come back; inf where nothing speaks for it."""
    gap = (other.first - one.last) / rate
    if not 0 < gap <= _HIDDEN:
        return float("inf")
    way = apart(one.ends, other.begins) / (0.5 + 2 * gap)
    difference = unlike(one.look, other.look)
    return way + (0.4 if np.isinf(difference) else difference / _LOOK_UNIT)


def _merged(chains: list[Chain]) -> list[Chain]:
    """``chains`` with those who look the same joined, the most alike first; never two seen at once."""
    shots = [{each.shot for each in chain} for chain in chains]
    crowd = {shot for shot in set().union(*shots) if sum(shot in own for own in shots) > 1}
    while True:
        pairs = [
            (_difference(one, other, crowd), i, j)
            for (i, one), (j, other) in itertools.combinations(enumerate(chains), 2)
            if not _at_once(one, other)
        ]
        best = min(pairs, default=(np.inf, 0, 0))
        if best[0] > 1:
            return chains
        _, i, j = best
        joined = tuple(sorted((*chains[i], *chains[j]), key=lambda each: each.first))
        chains = [chain for k, chain in enumerate(chains) if k not in (i, j)] + [joined]


def _at_once(one: Chain, other: Chain) -> bool:
    return any(a.first <= b.last and b.first <= a.last for a in one for b in other)


def _difference(one: Chain, other: Chain, crowd: set[int]) -> float:
    """The difference of two people's looks, over what is forgiven; ``crowd``: shots of several people."""
    difference = min(unlike(a.look, b.look) for a in one for b in other)
    shots = {each.shot for each in (*one, *other)}
    return difference / (_SAME if shots & crowd else _ONLY)
