"""Who stands in front of whom, frame by frame, decided over the whole video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pipeline.perception.bodies import in_front
from pipeline.perception.tracks import Person
from pipeline.shots import shot_at

#: Seconds over which who is nearer is settled: nobody passes through another and back in less.
_SETTLED = 0.25


class Depth:
    """The order of people in depth; quiet in time, and never mixed across a cut."""

    def __init__(self, people: Sequence[Person], cuts: tuple[int, ...], rate: float) -> None:
        self._cuts, self._rate = cuts, rate
        self._places = {person.id: place for place, person in enumerate(people)}
        # By the places of two people and the shot's start. A segment asks for one shot of many.
        self._known: dict[tuple[int, int, int], NDArray[np.float64]] = {}

    def in_front(self, one: Person, other: Person, frame: int) -> bool:
        """Whether ``one`` hides ``other`` where they meet."""
        i, j = self._places[one.id], self._places[other.id]
        if i > j:
            return not self.in_front(other, one, frame)
        start, stop = shot_at(frame, self._cuts, len(one.present))
        if (i, j, start) not in self._known:
            self._known[i, j, start] = _nearer(one, other, slice(start, stop), self._rate)
        # Where nothing tells them apart, who is named first is in front: always the same one.
        return bool(self._known[i, j, start][frame - start] >= 0)

    def rearmost_first(self, people: Sequence[Person], frame: int) -> list[Person]:
        """``people`` in the order in which they are drawn."""
        return sorted(
            people,
            key=lambda one: sum(self.in_front(one, other, frame) for other in people if other is not one),
        )


def _nearer(one: Person, other: Person, shot: slice, rate: float) -> NDArray[np.float64]:
    """(n,): by how much ``one`` is in front in each frame of a shot."""
    at = np.flatnonzero(one.present[shot] & other.present[shot])
    if not len(at):
        return np.zeros(shot.stop - shot.start)
    values = [in_front(one.joints[frame], other.joints[frame]) for frame in shot.start + at]
    whole = np.interp(np.arange(shot.stop - shot.start), at, values)
    return np.asarray(gaussian_filter1d(whole, max(_SETTLED * rate, 1e-3), mode="nearest"), np.float64)
