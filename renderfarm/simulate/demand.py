"""The orders that come in: made up from a seed, or read from a file."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pipeline.spec import RENDER, Model, Stage, VideoInfo
from renderfarm.settings import Settings
from renderfarm.simulate.scenario import Demand, ScenarioError
from renderfarm.units import FAST

#: What is left to do where character and scene are stored.
PREPARED = (Stage.SEGMENT, Stage.STITCH)
#: How long a video may be.
_LIMITS = Settings(database_url="")
_HOUR = 3600.0
#: The columns that a file may have; without one, it is as the demand would have it.
COLUMNS = ("at", "model", "seconds", "fast", "account")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job that comes in."""

    number: int
    #: Seconds from the beginning.
    at: float
    account: str
    model: Model
    mode: str
    video: VideoInfo
    stages: tuple[Stage, ...] = RENDER

    @property
    def fast(self) -> bool:
        return self.mode == FAST


class _Dice:
    """Chance, a stream for each thing that is asked: what one order is does not move the next ones."""

    def __init__(self, demand: Demand, seed: int) -> None:
        self._demand = demand
        self._streams = {
            name: random.Random(f"{seed} {name}")
            for name in ("at", "account", "model", "fast", "seconds", "prepared", "addresses")
        }

    def times(self) -> Iterator[float]:
        """Arrivals of a Poisson process whose rate follows the profile, until the hours are over."""
        demand, dice = self._demand, self._streams["at"]
        profile = demand.profile or (1.0,)
        peak = max(profile)
        if not peak:
            return
        # At the rate of the busiest part; elsewhere only as many are kept as belong there.
        rate = demand.jobs_per_hour / _HOUR * peak * len(profile) / sum(profile)
        at, end = 0.0, demand.hours * _HOUR
        while (at := at + dice.expovariate(rate)) < end:
            if dice.random() * peak < profile[int(at / end * len(profile))]:
                yield at

    def order(self, number: int, at: float, given: dict[str, str]) -> Order:
        """The order of this time; what is ``given`` is not left to chance, but thrown for all the same."""
        demand = self._demand
        model = Model.V3 if self._throw("model", demand.v3) else Model.V4
        fast = self._throw("fast", demand.fast)
        own = PREPARED if self._throw("prepared", demand.prepared) else RENDER
        fetched = self._throw("addresses", demand.addresses)
        seconds = demand.seconds * math.exp(self._streams["seconds"].gauss(0, demand.spread))
        account = str(self._streams["account"].randrange(demand.accounts))
        if "model" in given:
            model = {"v3": Model.V3, "v4": Model.V4}.get(given["model"].lower()) or Model(given["model"])
        if "fast" in given:
            fast = given["fast"].lower() in {"1", "true", "yes"}
        seconds = float(given.get("seconds", seconds))
        seconds = min(max(seconds, _LIMITS.min_seconds), float(_LIMITS.max_seconds))
        frames = max(1, round(seconds * demand.rate))
        return Order(
            number=number,
            at=at,
            account=given.get("account", account),
            model=model,
            mode=FAST if fast else "preprocessed" if own is PREPARED else "full_pipeline",
            video=VideoInfo(1280, 720, Fraction(demand.rate), frames, True, "h264"),
            stages=(Stage.FETCH, *own) if fetched else own,
        )

    def _throw(self, what: str, share: float) -> bool:
        return self._streams[what].random() < share


def orders(demand: Demand, seed: int) -> list[Order]:
    """The same for the same seed, in the order in which they come."""
    dice = _Dice(demand, seed)
    return [dice.order(number, at, {}) for number, at in enumerate(dice.times())]


def orders_in(path: Path, demand: Demand, seed: int) -> list[Order]:
    """Those of a CSV file: ``at``, in seconds, and any other of ``COLUMNS``; raises ``ScenarioError``."""
    dice, read = _Dice(demand, seed), []
    try:
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            if strange := set(rows.fieldnames or ()) - set(COLUMNS):
                raise ValueError(f"it has columns nobody knows: {', '.join(sorted(strange))}")
            for row in rows:
                given = {name: value.strip() for name, value in row.items() if value and value.strip()}
                read.append((float(given.pop("at")), given))
        in_time = sorted(read, key=lambda each: each[0])
        return [dice.order(number, at, given) for number, (at, given) in enumerate(in_time)]
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise ScenarioError(f"{path} cannot be read: {error}") from error
