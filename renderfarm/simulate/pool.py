"""The workers of a queue in simulated time, and the units in front of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from simpy import Environment, Event

from pipeline.spec import Stage
from renderfarm.simulate.demand import Order
from renderfarm.simulate.line import Line
from renderfarm.simulate.scale import Rule
from renderfarm.simulate.scenario import Pool

#: What happens in simulated time.
Happening = Generator[Event, Any, None]


@dataclass(slots=True, eq=False)
class Job:
    """An order that was taken."""

    order: Order
    #: Units of each stage that are to be done yet.
    left: dict[Stage, int] = field(default_factory=dict)
    done: set[Stage] = field(default_factory=set)
    started: float | None = None


@dataclass(slots=True, eq=False)
class Unit:
    """A unit of work; ``spans`` are the lengths, in frames, of those that are to be done yet."""

    id: str
    job: Job
    stage: Stage
    spans: list[int]


@dataclass(slots=True, eq=False)
class Worker:
    """A live worker; one that ``leaves`` hands over at the end of its span."""

    leaves: bool = False


class Level:
    """A number over the time: what it is, the most it was, and its integral."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self.value = self.peak = 0
        self._area = self._since = 0.0

    def add(self, more: int) -> None:
        self._area = self.area
        self._since = self._env.now
        self.value += more
        self.peak = max(self.peak, self.value)

    @property
    def area(self) -> float:
        """The integral until now."""
        return self._area + self.value * (self._env.now - self._since)


class Workers:
    """The pool of a queue: who stands in its lines, what is admitted, who works."""

    def __init__(self, env: Environment, pool: Pool, cap: int, announce: Callable[[], None]) -> None:
        self._env, self._pool, self._cap, self._announce = env, pool, cap, announce
        self.lines = {True: Line(), False: Line()}
        #: Units that are to be done, or are being done, by account, of fast and of normal jobs.
        self.open: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        #: Units that wait or are admitted, workers that are there, that work, that are paid for.
        self.waiting, self.live, self.busy, self.paid = (Level(env) for _ in range(4))
        #: Admitted units: all that are to be claimed, and those in whose place nobody comes yet.
        self.unclaimed = 0
        self.messages: deque[Unit] = deque()
        #: Units of fast jobs that are admitted or run.
        self.fast = 0
        self.free: deque[Worker] = deque()
        self.at_work: set[Worker] = set()
        self._starting = self._unwanted = self._leaving = 0
        for _ in range(pool.least):
            self.paid.add(1)
            self._arrive()
        if pool.ceiling > pool.least:
            env.process(self._scale())

    @property
    def idle(self) -> int:
        """Live workers that run no unit."""
        return self.live.value - self.busy.value

    def release(self, worker: Worker) -> None:
        """Its unit has ended, for now or for good."""
        self.at_work.discard(worker)
        if worker.leaves:
            self._leaving -= 1
            self._go()
        else:
            self.free.append(worker)

    def _scale(self) -> Happening:
        rule = Rule(self._pool)
        while True:
            there = self.live.value - self._leaving + self._starting
            more = rule.wanted(self._env.now, self._demand(), there) - there
            for _ in range(more):
                self._env.process(self._start())
            for _ in range(-more):
                self._dismiss()
            yield self._env.timeout(self._pool.polling)

    def _demand(self) -> int:
        """Units that could run, as the trigger counts them: of an account's normal jobs up to its cap."""
        capped = sum(min(units, self._cap) for units in self.open[False].values())
        return capped + self.open[True].total()

    def _start(self) -> Happening:
        self._starting += 1
        self.paid.add(1)
        yield self._env.timeout(self._pool.node_start + self._pool.worker_start)
        if self._unwanted:
            self._unwanted -= 1
            return
        self._starting -= 1
        self._arrive()
        self._announce()

    def _arrive(self) -> None:
        self.live.add(1)
        self.free.append(Worker())

    def _dismiss(self) -> None:
        """One worker goes: one that only starts, else one that idles, else one at the end of its span."""
        if self._starting:
            self._starting -= 1
            self._unwanted += 1
            self.paid.add(-1)
        elif self.free:
            self.free.pop()
            self._go()
        elif staying := next((worker for worker in self.at_work if not worker.leaves), None):
            staying.leaves = True
            self._leaving += 1

    def _go(self) -> None:
        self.live.add(-1)
        self.paid.add(-1)
