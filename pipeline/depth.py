"""Who stands in front of whom, frame by frame, decided over the whole video."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pipeline.perception.bodies import in_front
from pipeline.perception.tracks import Person
from pipeline.shots import shots

#: Seconds over which who is nearer is settled: nobody passes through another and back in less.
_SETTLED = 0.25


class Depth:
    """The order of people in depth; quiet in time, and never mixed across a cut."""

    def __init__(self, people: Sequence[Person], cuts: tuple[int, ...], rate: float) -> None:
        self._people = [person.id for person in people]
        frames = len(people[0].present) if people else 0
        # float64 (P, P, T): by how much the first is in front of the second.
        self._nearer = np.zeros((len(people), len(people), frames))
        for (i, one), (j, other) in itertools.combinations(enumerate(people), 2):
            nearer = _nearer(one, other, cuts, rate)
            self._nearer[i, j], self._nearer[j, i] = nearer, -nearer

    def in_front(self, one: Person, other: Person, frame: int) -> bool:
        """Whether ``one`` hides ``other`` where they meet."""
        i, j = self._people.index(one.id), self._people.index(other.id)
        # Where nothing tells them apart, who is named first is in front: always the same one.
        return bool(self._nearer[i, j, frame] > 0 or (self._nearer[i, j, frame] == 0 and i < j))

    def rearmost_first(self, people: Sequence[Person], frame: int) -> list[Person]:
        """``people`` in the order in which they are drawn."""
        return sorted(
            people,
            key=lambda one: sum(self.in_front(one, other, frame) for other in people if other is not one),
        )


def _nearer(one: Person, other: Person, cuts: tuple[int, ...], rate: float) -> NDArray[np.float64]:
    frames = len(one.present)
    nearer = np.zeros(frames)
    together = one.present & other.present
    for start, stop in shots(cuts, frames):
        at = start + np.flatnonzero(together[start:stop])
        if len(at):
            values = [in_front(one.joints[frame], other.joints[frame]) for frame in at]
            whole = np.interp(np.arange(start, stop), at, values)
            nearer[start:stop] = gaussian_filter1d(whole, max(_SETTLED * rate, 1e-3), mode="nearest")
    return nearer
