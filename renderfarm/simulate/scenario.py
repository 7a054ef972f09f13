"""What is simulated, read from layers of TOML: an engine's, a file's, the command line's."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.spec import Stage
from renderfarm import stages
from renderfarm.settings import Settings

_ENGINES = Path(__file__).with_name("engines")
#: What a farm has that is told nothing.
_USUAL = Settings(database_url="")
_STRICT = {"extra": "forbid"}

Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]


class ScenarioError(Exception):
    """A scenario cannot be read; the message names what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The orders that come in: by chance, at a rate that may change over the time."""

    __pydantic_config__ = _STRICT

    jobs_per_hour: Size = 20
    hours: Size = 8
    #: How the jobs are spread over the hours, in equal parts of them; empty: evenly.
    profile: tuple[Amount, ...] = ()
    #: Of a clip: the median, and the sigma of the logarithm (0: all are as long).
    seconds: Size = 15
    spread: Amount = 0.5
    #: Frames a second.
    rate: Annotated[int, Field(ge=1)] = 30
    #: Shares of the jobs: for V3; fast; of a stored character and scene; with addresses to fetch from.
    v3: Share = 0.3
    fast: Share = 0.1
    prepared: Share = 0.0
    addresses: Share = 0.0
    #: Who sends them, each as often as the next.
    accounts: Annotated[int, Field(ge=1)] = 20
    #: What a minute of video weighs on its way in and out.
    mb_per_minute: Amount = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The workers of a queue, and how many there are by the units that wait or run, as the chart has it."""

    __pydantic_config__ = _STRICT

    #: How many there are at the least, and at the most (0: no more than that).
    least: Annotated[int, Field(ge=0)] = 1
    most: Annotated[int, Field(ge=0)] = 0
    #: Workers wanted besides: one for each of so many units that could run.
    headroom: Annotated[int, Field(ge=0)] = 0
    units_per_worker: Size = 1
    #: Seconds between two looks; and a worker goes when it was one too many for so long, and so many at most
    #: in five minutes.
    polling: Size = 15
    stabilization: Amount = 300
    fewer_at_once: Annotated[int, Field(ge=1)] = 4
    #: Seconds until a new worker's node is there, and from then until it takes work.
    node_start: Amount = 0
    worker_start: Amount = 10
    #: What a worker has, and is paid for.
    gpus: Amount = 0
    cpus: Amount = 1

    @property
    def ceiling(self) -> int:
        """The most workers that there may be."""
        return max(self.least, self.most)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a worker has a unit of a stage: for itself, for each of its spans, for each frame."""

    __pydantic_config__ = _STRICT

    unit: Amount = 0
    span: Amount = 0
    frame: Amount = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Seconds from what is announced to its admission, and from there into a free worker's hands."""

    __pydantic_config__ = _STRICT

    admission: Amount = 0.01
    delivery: Amount = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What is paid, in dollars: assumptions, list prices differ by a factor of three."""

    __pydantic_config__ = _STRICT

    gpu_hour: Amount = 2.50
    cpu_hour: Amount = 0.04
    gb: Amount = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The farm's own settings that the model keeps to, by their names."""

    __pydantic_config__ = _STRICT

    account_running_cap: Annotated[int, Field(ge=1)] = _USUAL.account_running_cap
    fast_share: Share = _USUAL.fast_share
    queue_deadline_seconds: Size = _USUAL.queue_deadline_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All of it."""

    __pydantic_config__ = _STRICT

    seed: int = 0
    #: A job should have begun within so many seconds.
    slo_seconds: Size = 60
    demand: Demand = field(default_factory=Demand)
    #: By queue.
    pools: Mapping[str, Pool] = field(default_factory=lambda: {queue: Pool() for queue in stages.ALL})
    #: By the queue of the job's model, and stage; a stage that is not there takes no time.
    costs: Mapping[str, Mapping[Stage, Cost]] = field(default_factory=dict)
    delays: Delays = field(default_factory=Delays)
    prices: Prices = field(default_factory=Prices)
    rules: Rules = field(default_factory=Rules)


def scenario_of(*layers: Mapping[str, Any]) -> Scenario:
    """The scenario that the layers make, each over those before; raises ``ScenarioError``."""
    queues: dict[str, Any] = {"pools": {queue: {} for queue in stages.ALL}}
    try:
        scenario = TypeAdapter(Scenario).validate_python(reduce(_over, layers, queues))
    except ValidationError as error:
        [first, *_] = error.errors()
        where = ".".join(map(str, first["loc"]))
        raise ScenarioError(f"{where}: {first['msg']}") from error
    if strange := (set(scenario.pools) - set(stages.ALL)) | (
        set(scenario.costs) - set(stages.QUEUES.values())
    ):
        raise ScenarioError(f"there is no queue {', '.join(sorted(strange))}")
    return scenario


def layer_of(path: Path) -> dict[str, Any]:
    """What a TOML file says; raises ``ScenarioError``."""
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: {error}") from error


def engine_layer(name: str) -> dict[str, Any]:
    """What is known of one of ``ENGINES``."""
    return layer_of(_ENGINES / f"{name}.toml")


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``below`` with what ``above`` says, table by table."""
    both = {
        name: _over(below[name], value)
        for name, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
    }
    return {**below, **above, **both}
