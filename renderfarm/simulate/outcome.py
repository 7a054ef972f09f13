"""What came of a simulated farm, and the figures in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, quantiles
from typing import Any

from pipeline.spec import Model
from renderfarm.simulate.demand import Order
from renderfarm.simulate.scenario import Scenario

_HOUR, _MINUTE = 3600.0, 60.0
#: The groups of jobs whose waits are told.
_KINDS: Mapping[str, Callable[[Order], bool]] = {
    "all": lambda _: True,
    "V3": lambda order: order.model is Model.V3,
    "V4": lambda order: order.model is Model.V4,
    "fast": lambda order: order.fast,
}


@dataclass(frozen=True, slots=True)
class Render:
    """A job that was done: when its first unit was begun, and its last one ended."""

    order: Order
    started: float
    ended: float

    @property
    def wait(self) -> float:
        """Seconds from the order to the first unit's beginning."""
        return self.started - self.order.at

    @property
    def whole(self) -> float:
        """Seconds from the order to the end."""
        return self.ended - self.order.at


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a pool had over the whole time, in seconds times workers or units, and at the most."""

    workers: float
    busy: float
    #: Those that start are paid for, too.
    paid: float
    #: Units that waited or were admitted.
    waiting: float
    most_workers: int
    most_waiting: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The pools at one moment: workers that are there, that work, and units that wait."""

    at: float
    pools: Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that came of it."""

    renders: tuple[Render, ...]
    refused: tuple[Order, ...]
    pools: Mapping[str, Use]
    samples: tuple[Sample, ...]
    #: Seconds until the last job was done.
    seconds: float


def figures(scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    """Waits, queues, utilisation and cost; what was asked of the farm stands beside it."""
    video = sum(render.order.video.duration for render in outcome.renders) / _MINUTE
    paid = _paid(scenario, outcome, video)
    deadline = scenario.rules.queue_deadline_seconds
    return {
        "jobs": len(outcome.renders),
        "refused_fast": len(outcome.refused),
        "past_queue_deadline": sum(render.wait > deadline for render in outcome.renders),
        "video_minutes": round(video, 2),
        "seconds": round(outcome.seconds, 1),
        "slo_seconds": scenario.slo_seconds,
        "waits": {
            kind: _waits([each for each in outcome.renders if belongs(each.order)], scenario.slo_seconds)
            for kind, belongs in _KINDS.items()
        },
        "pools": {queue: _of_pool(use, outcome.seconds) for queue, use in outcome.pools.items()},
        "cost": {
            **{name: round(dollars, 4) for name, dollars in paid.items()},
            "of_all": round(sum(paid.values()), 4),
            "of_a_minute_of_video": round(sum(paid.values()) / video, 4) if video else None,
        },
        "scenario": asdict(scenario),
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which ``percent`` of them are; between two of them, in proportion."""
    if len(values) < 2:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _waits(renders: Sequence[Render], slo: float) -> dict[str, Any] | None:
    if not renders:
        return None
    waits, wholes = [each.wait for each in renders], [each.whole for each in renders]
    return {
        "jobs": len(renders),
        "wait": _spread(waits),
        "whole": _spread(wholes),
        "within_slo": round(fmean(wait <= slo for wait in waits), 4),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    spread = {"mean": fmean(values)} | {f"p{each}": percentile(values, each) for each in (50, 95, 99)}
    return {name: round(value, 3) for name, value in spread.items()}


def _of_pool(use: Use, seconds: float) -> dict[str, Any]:
    return {
        "utilisation": round(use.busy / use.workers, 4) if use.workers else None,
        "workers_mean": round(use.workers / seconds, 2),
        "workers_most": use.most_workers,
        "waiting_mean": round(use.waiting / seconds, 2),
        "waiting_most": use.most_waiting,
        "paid_hours": round(use.paid / _HOUR, 2),
    }


def _paid(scenario: Scenario, outcome: Outcome, video: float) -> dict[str, float]:
    """Dollars by what they are paid for."""
    prices = scenario.prices
    hours = {queue: use.paid / _HOUR for queue, use in outcome.pools.items()}
    return {
        "gpu": sum(hours[queue] * pool.gpus for queue, pool in scenario.pools.items()) * prices.gpu_hour,
        "cpu": sum(hours[queue] * pool.cpus for queue, pool in scenario.pools.items()) * prices.cpu_hour,
        "traffic": video * scenario.demand.mb_per_minute / 1000 * prices.gb,
    }
