"""What of a farm's memory, files, threads and connections is flat.

A quarter of the time is for warming up. After it a series is flat where both hold:

- its slope (Theil and Sen's: the median over all pairs of samples of one process's life) is below a bound,
  or comes, over the time it was looked at, to less than what measuring alone makes of it;
- its median in the last quarter is no more than a share and a little above that of the second one. The
  processes are replaced in between: so this says, too, that a new one takes no more than the old.

What draws is told by its peaks in the two quarters, since it grows with what it draws, and has no slope.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median
from typing import Any

from renderfarm.trial.soak.watch import Sample

#: When something was seen, and how much of it.
Point = tuple[float, float]
#: Of a life that began in the middle, the part that is its warming up.
_YOUNG = 1 / 3
#: More samples of a life than these say nothing more of its slope.
_MOST = 120
#: A life of fewer samples has no slope.
_FEWEST = 8


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a series may grow: by the hour, and from the second quarter to the last."""

    per_hour: float
    share: float
    #: On top of the share; and a slope that comes to no more than this is none.
    least: float


#: Of one process.
MEMORY = Bound(per_hour=16, share=0.10, least=8)
FILES = Bound(per_hour=6, share=0.10, least=4)
THREADS = Bound(per_hour=6, share=0.10, least=4)
#: Of one program.
CONNECTIONS = Bound(per_hour=4, share=0.10, least=3)
#: Those that differ, each for its reason.
OTHERS: Mapping[str, Bound] = {
    # The rows of a soak fill its cache (64 MB), and each of its clients a process's own.
    "postgres, MB": Bound(per_hour=80, share=0.25, least=24),
    # Each of its processes keeps the tables open that it has met.
    "postgres, files": Bound(per_hour=1000, share=0.25, least=400),
    # It grows until it has seen as many tasks as it remembers, some 4 KB of each (``workers.__main__``).
    "flower, MB": Bound(per_hour=60, share=0.10, least=16),
    # What draws keeps the models' buffers: its peak depends on how two parts of a picture met.
    "drawing, MB": Bound(per_hour=0, share=0.15, least=64),
    "redis used_memory, MB": Bound(per_hour=2, share=0.10, least=1),
    "redis clients": Bound(per_hour=6, share=0.10, least=4),
    # Scratch files come and go with the units in hand.
    "files of workers": Bound(per_hour=20, share=0.25, least=12),
    "temporary files": Bound(per_hour=20, share=0.25, least=12),
    # Garbage waits for the next sweep, and for a dispatcher that is being replaced.
    "garbage overdue": Bound(per_hour=20, share=0.25, least=20),
}


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that was watched, by the lives of the processes that had it."""

    name: str
    lives: Sequence[Sequence[Point]]
    bound: Bound
    #: Whether it is judged by its peaks.
    peaks: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a series, in its own unit."""

    name: str
    second: float
    last: float
    per_hour: float
    peak: float
    #: What is wrong with it; empty where it is flat.
    wrong: str

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.name,
            "second quarter": round(self.second, 2),
            "last quarter": round(self.last, 2),
            "per hour": round(self.per_hour, 2),
            "peak": round(self.peak, 2),
            "verdict": self.wrong or "flat",
        }


def series_of(samples: Sequence[Sample]) -> list[Series]:
    """Everything that was watched."""
    found = []
    for unit, value, usual in (
        ("MB", lambda seen: seen.megabytes, MEMORY),
        ("files", lambda seen: float(seen.files), FILES),
        ("threads", lambda seen: float(seen.threads), THREADS),
    ):
        lives: dict[str, dict[int, list[Point]]] = defaultdict(lambda: defaultdict(list))
        for sample in samples:
            for seen in sample.processes:
                lives[seen.name][seen.pid].append((sample.at, value(seen)))
        for name, by_pid in sorted(lives.items()):
            draws = name.endswith("drawing")
            bound = OTHERS.get(f"{'drawing' if draws else name}, {unit}", usual)
            found.append(Series(f"{name}, {unit}", list(by_pid.values()), bound, draws and unit == "MB"))
    return [*found, *_counts(samples)]


def _counts(samples: Sequence[Sample]) -> Iterator[Series]:
    for name in sorted({name for sample in samples for name in sample.counts}):
        points = [(sample.at, sample.counts[name]) for sample in samples]
        yield Series(name, [points], OTHERS[name])
    for name in sorted({who for sample in samples for who, _ in sample.connections}):
        points = [
            (sample.at, float(sum(n for (who, _), n in sample.connections.items() if who == name)))
            for sample in samples
        ]
        yield Series(f"connections of {name}", [points], CONNECTIONS)


def judge(series: Series, whole: float) -> Verdict:
    """Whether it is flat over a soak of ``whole`` seconds."""
    points = [point for life in series.lives for point in life]
    second = _level(points, whole / 4, whole / 2, series.peaks)
    last = _level(points, 3 * whole / 4, whole, series.peaks)
    slopes, longest = [], 0.0
    for life in series.lives:
        warm = _warm(life, whole)
        if len(warm) >= _FEWEST and not series.peaks:
            slopes += _slopes(warm)
            longest = max(longest, warm[-1][0] - warm[0][0])
    per_hour = 3600 * median(slopes) if slopes else 0.0
    bound, wrong = series.bound, []
    if per_hour > bound.per_hour and per_hour * longest / 3600 > bound.least:
        wrong.append(f"grows by {per_hour:.3g} an hour, not {bound.per_hour:g}")
    if last > (allowed := second * (1 + bound.share) + bound.least):
        wrong.append(f"is {last:.4g} at the end, not {allowed:.4g}")
    peak = max((value for _, value in points), default=0.0)
    return Verdict(series.name, second, last, per_hour, peak, "; ".join(wrong))


def _warm(life: Sequence[Point], whole: float) -> Sequence[Point]:
    """The part of a life that is judged."""
    began, ended = life[0][0], life[-1][0]
    since = whole / 4 if began < whole / 8 else began + (ended - began) * _YOUNG
    warm = [point for point in life if point[0] >= since]
    return warm[:: max(1, len(warm) // _MOST)]


def _slopes(life: Sequence[Point]) -> list[float]:
    return [(b - a) / (after - before) for (before, a), (after, b) in combinations(life, 2)]


def _level(points: Sequence[Point], begin: float, end: float, peaks: bool) -> float:
    """The median over a quarter of what its processes have, on average, or the most that one had."""
    at: dict[float, list[float]] = defaultdict(list)
    for moment, value in points:
        if begin <= moment <= end:
            at[moment].append(value)
    if not at:
        return 0.0
    return max(map(max, at.values())) if peaks else median(map(fmean, at.values()))
