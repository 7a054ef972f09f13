"""Who is who over a whole video: the finds of all pieces linked into people.

A tracklet is what one slot of one piece saw without a break. Within a shot tracklets are linked by
where they are and how they look; across cuts, and over long absences, by looks alone.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
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
#: Finds of more people than this are noise; and tracklets beyond so many, the shortest: each is compared
#: with each.
_MOST_PEOPLE, _MOST_TRACKLETS = 40, 2000


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
    chains.sort(key=_longest_first)
    compared = itertools.accumulate(len(chain) for chain in chains)
    people = _merged(
        [chain for chain, so_far in zip(chains, compared, strict=True) if so_far <= _MOST_TRACKLETS]
    )
    return sorted(people, key=_longest_first)[:_MOST_PEOPLE]


def _longest_first(chain: Chain) -> tuple[int, int]:
    return -sum(each.last - each.first for each in chain), chain[0].first


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
    order = sorted(range(len(tracklets)), key=lambda number: tracklets[number].first)
    firsts = [tracklets[number].first for number in order]
    pairs = sorted(
        (price, i, j)
        for i, one in enumerate(tracklets)
        for j in order[
            bisect.bisect_right(firsts, one.last) : bisect.bisect_right(firsts, one.last + _HIDDEN * rate)
        ]
        if (price := _price(one, tracklets[j], rate)) < _DEAREST
    )
    after: dict[int, int] = {}
    followers: set[int] = set()
    for _, i, j in pairs:
        if i not in after and j not in followers:
            after[i] = j
            followers.add(j)
    chains: list[Chain] = []
    for number in range(len(tracklets)):
        if number not in followers:
            chain = [number]
            while chain[-1] in after:
                chain.append(after[chain[-1]])
            chains.append(tuple(tracklets[i] for i in chain))
    return chains


def _price(one: Tracklet, other: Tracklet, rate: float) -> float:
    """What it costs to take ``other``, who is seen after ``one`` is not any more, for ``one`` come back."""
    gap = (other.first - one.last) / rate
    way = apart(one.ends, other.begins) / (0.5 + 2 * gap)
    difference = float(unlike(one.look, other.look))
    return way + (0.4 if np.isinf(difference) else difference / _LOOK_UNIT)


def _merged(chains: list[Chain]) -> list[Chain]:
    """``chains`` with those who look the same joined, the most alike first; never two seen at once."""
    if not chains:
        return []
    # A chain is of one shot here. Beside others, looks have to tell people apart.
    company = Counter(chain[0].shot for chain in chains)
    crowd = np.array([company[chain[0].shot] > 1 for chain in chains])
    different, at_once = _compared(chains)
    people: dict[int, Chain] = dict(enumerate(chains))
    price = np.full_like(different, np.inf)
    for number in people:
        price[number] = _prices(number, different, at_once, crowd)
    while True:
        i, j = (int(v) for v in np.unravel_index(price.argmin(), price.shape))
        if price[i, j] > 1:
            return list(people.values())
        people[i] = tuple(sorted((*people[i], *people.pop(j)), key=lambda each: each.first))
        crowd[i] |= crowd[j]
        different[i] = different[:, i] = np.minimum(different[i], different[j])
        at_once[i] = at_once[:, i] = at_once[i] | at_once[j]
        at_once[j] = at_once[:, j] = True  # it is no more
        price[j] = price[:, j] = np.inf
        price[i] = price[:, i] = _prices(i, different, at_once, crowd)


def _compared(chains: Sequence[Chain]) -> tuple[Floats, NDArray[np.bool_]]:
    """(n, n) each: how different chains look where they look most alike; whether both are seen at once."""
    each = [tracklet for chain in chains for tracklet in chain]
    first, last = (np.array([getattr(one, name) for one in each]) for name in ("first", "last"))
    looks = np.array([one.look for one in each])
    different = np.array([unlike(look, looks) for look in looks])
    at_once = (first[:, None] <= last) & (first <= last[:, None])
    begins = np.cumsum([0, *(len(chain) for chain in chains[:-1])])
    for axis in (0, 1):
        different = np.minimum.reduceat(different, begins, axis=axis)
        at_once = np.logical_or.reduceat(at_once, begins, axis=axis)
    return different, at_once


def _prices(number: int, different: Floats, at_once: NDArray[np.bool_], crowd: NDArray[np.bool_]) -> Floats:
    """(n,): the differences of ``number`` from each, over what is forgiven; inf for who cannot be the same.

    ``crowd``: who was seen in a shot of several people.
    """
    forgiven = np.where(crowd | crowd[number], np.float32(_SAME), np.float32(_ONLY))
    return np.where(at_once[number], np.float32(np.inf), different[number] / forgiven)
