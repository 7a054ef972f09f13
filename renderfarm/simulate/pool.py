"""The workers of a queue in simulated time, those who stand in its lines, and the rule that scales it."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from simpy import Environment, Event

from pipeline.spec import Stage
from renderfarm.simulate.demand import Order
from renderfarm.simulate.scenario import Pool
from renderfarm.turns import Turn, in_turn

#: The chart's policies: twice as many or four more in so many seconds; how many fewer is each pool's own.
_MORE_AT_ONCE, _MORE_SECONDS, _FEWER_SECONDS = 4, 30.0, 300.0

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


class Line:
    """Accounts with units waiting, in the order in which they were served: what the rows of a line hold."""

    def __init__(self) -> None:
        self._accounts: dict[str, list[tuple[float, str]]] = {}
        self._served: dict[str, int] = {}
        self._clock = count()

    def join(self, account: str, queued_at: float, unit_id: str) -> None:
        """A unit begins to wait, behind those of the account's older jobs."""
        if account not in self._accounts:
            self._accounts[account] = []
            self._served[account] = next(self._clock)
        insort(self._accounts[account], (queued_at, unit_id))

    def next_turns(self, busy: Mapping[str, int], *, fast: bool, room: int, cap: int | None) -> list[Turn]:
        """Whose turn it is; accounts that have nothing more leave the line."""
        units: dict[str, list[str]] = {}
        gone, fresh = [], 0
        for account, own in self._accounts.items():
            if not own:
                gone.append(account)
                continue
            units[account] = [unit_id for _, unit_id in own[:room]]
            fresh += not busy.get(account)
            if fresh >= room:  # nobody who comes later goes before these
                break
        for account in gone:
            del self._accounts[account], self._served[account]
        return in_turn(units, self._served, busy, fast=fast, room=room, cap=cap)

    def serve(self, turn: Turn) -> None:
        """The unit is admitted, and its account goes to the end."""
        own = self._accounts.pop(turn.account_id)
        own.remove(next(each for each in own if each[1] == turn.unit_id))
        self._accounts[turn.account_id] = own
        self._served[turn.account_id] = next(self._clock)


class Rule:
    """How many workers are wanted: the chart's ScaledObject, KEDA's trigger with the HPA's behavior."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        #: What was wanted, and by how much their number was changed, at which time.
        self._lately: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def wanted(self, now: float, units: int, there: int) -> int:
        """How many there should be, of whom ``there`` are now."""
        own = self._pool
        target = math.ceil((own.headroom + units) / own.units_per_worker)
        target = min(own.ceiling, max(own.least, target))
        self._lately.append((now, target))
        while self._lately[0][0] < now - own.stabilization:
            self._lately.popleft()
        while self._changes and self._changes[0][0] <= now - _FEWER_SECONDS:
            self._changes.popleft()
        if target > there == 0:
            return 1  # by KEDA itself; the rest is the HPA's
        came = sum(change for at, change in self._changes if change > 0 and at > now - _MORE_SECONDS)
        went = -sum(change for _, change in self._changes if change < 0)
        most = max(2 * (there - came), there - came + _MORE_AT_ONCE)
        fewest = there + went - own.fewer_at_once
        highest = max(each for _, each in self._lately)
        wanted = max(there, min(target, most)) if target > there else min(there, max(highest, fewest))
        if wanted != there:
            self._changes.append((now, wanted - there))
        return wanted


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
