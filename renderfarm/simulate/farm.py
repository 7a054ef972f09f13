"""The farm in simulated time: what is planned, admitted and done, by the rules that the farm itself has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from simpy import Environment, Event

from pipeline.spec import Plan, Stage, plan_for
from pipeline.units import BY_SPANS, spans_of
from renderfarm import stages, units
from renderfarm.simulate.demand import Order
from renderfarm.simulate.outcome import Outcome, Render, Sample, Use
from renderfarm.simulate.pool import Happening, Job, Unit, Worker, Workers
from renderfarm.simulate.scenario import Cost, Scenario, ScenarioError
from renderfarm.turns import Turn, room_for, takes_fast, together

_NOTHING = Cost()
#: Looks at the pools, over the time in which orders come.
_SAMPLES = 400


def simulate(scenario: Scenario, orders: Sequence[Order]) -> Outcome:
    """What becomes of the orders, until the last of them is done; raises ``ScenarioError``.

    The same scenario and the same orders give the same outcome.
    """
    if not orders:
        raise ScenarioError("nobody orders anything: more hours, or more jobs an hour")
    wanted = {stages.queue_of(stage, order.model) for order in orders for stage in order.stages}
    if empty := sorted(queue for queue in wanted if not scenario.pools[queue].ceiling):
        raise ScenarioError(f"there is work for {', '.join(empty)}, and may never be a worker")
    return _Farm(scenario, orders).run()


class _Farm:
    """One run of the model."""

    def __init__(self, scenario: Scenario, orders: Sequence[Order]) -> None:
        self._scenario, self._orders = scenario, orders
        self._env = Environment()
        self._over = self._env.event()
        self._called = False
        cap = scenario.rules.account_running_cap
        self._pools = {
            queue: Workers(self._env, pool, cap, self._announce) for queue, pool in scenario.pools.items()
        }
        #: Units that are admitted or run, by account, of normal and of fast jobs.
        self._busy: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._waiting: dict[str, Unit] = {}
        self._plans: dict[str, Plan] = {}
        self._renders: list[Render] = []
        self._refused: list[Order] = []
        self._samples: list[Sample] = []

    def run(self) -> Outcome:
        self._env.process(self._arrivals())
        self._env.process(self._look(self._orders[-1].at / _SAMPLES or 1.0))
        self._env.run(until=self._over)
        now = self._env.now
        uses = {
            queue: Use(
                workers=pool.live.area,
                busy=pool.busy.area,
                paid=pool.paid.area,
                waiting=pool.waiting.area,
                most_workers=pool.live.peak,
                most_waiting=pool.waiting.peak,
            )
            for queue, pool in self._pools.items()
        }
        return Outcome(tuple(self._renders), tuple(self._refused), uses, tuple(self._samples), now)

    def _arrivals(self) -> Happening:
        for order in self._orders:
            yield self._env.timeout(order.at - self._env.now)
            self._submit(order)

    def _look(self, seconds: float) -> Happening:
        while True:
            pools = {
                queue: (pool.live.value, pool.busy.value, pool.waiting.value)
                for queue, pool in self._pools.items()
            }
            self._samples.append(Sample(self._env.now, pools))
            yield self._env.timeout(seconds)

    def _submit(self, order: Order) -> None:
        if order.fast and not self._has_room_for_fast(self._pools[stages.QUEUES[order.model]]):
            self._refused.append(order)
            self._end_if_over()
            return
        self._make(Job(order), stages.following(order.stages, (), ()))
        self._announce()

    def _has_room_for_fast(self, pool: Workers) -> bool:
        free = pool.idle - pool.unclaimed
        return takes_fast(free) and takes_fast(free, len(self._next_turns(pool, self._busy, free)))

    def _make(self, job: Job, new: Sequence[Stage]) -> None:
        """The units of more stages of a job, as the farm plans them; they wait."""
        order = job.order
        plan = self._plans.setdefault(order.model, plan_for(order.model))
        job_id = f"{order.number:09}"
        for row in units.planned(job_id, plan, order.model, order.mode, order.video, (), new):
            stage = Stage(row["stage"])
            spans = [row["total"]]
            if not (row["fast"] and stage in BY_SPANS):
                spans = [len(span) for span in spans_of(stage, plan, order.video, ())]
            job.left[stage] = job.left.get(stage, 0) + 1
            pool = self._pools[row["queue"]]
            pool.open[order.fast][order.account] += 1
            self._wait(pool, Unit(row["id"], job, stage, spans))

    def _wait(self, pool: Workers, unit: Unit) -> None:
        order = unit.job.order
        self._waiting[unit.id] = unit
        pool.waiting.add(1)
        pool.lines[order.fast].join(order.account, order.at, unit.id)

    def _announce(self) -> None:
        """Work or room was made: the dispatcher looks soon, once for all that happens meanwhile."""
        if not self._called:
            self._called = True
            look = self._env.timeout(self._scenario.delays.admission)
            assert look.callbacks is not None
            look.callbacks.append(self._admit)

    def _admit(self, _: Event) -> None:
        """One round: who is busy is counted once, for all queues, as the dispatcher does."""
        self._called = False
        busy = {fast: counted.copy() for fast, counted in self._busy.items()}
        for pool in self._pools.values():
            if (room := room_for(pool.idle, pool.unclaimed)) <= 0:
                continue
            for turn in self._next_turns(pool, busy, room):
                pool.lines[turn.fast].serve(turn)
                self._busy[turn.fast][turn.account_id] += 1
                pool.fast += turn.fast
                pool.unclaimed += 1
                pool.messages.append(self._waiting.pop(turn.unit_id))
            self._hand_out(pool)

    def _next_turns(
        self, pool: Workers, busy: Mapping[bool, Mapping[str, int]], room: int
    ) -> tuple[Turn, ...]:
        rules = self._scenario.rules
        fast, normal = (
            pool.lines[kind].next_turns(busy[kind], fast=kind, room=room, cap=cap)
            for kind, cap in ((True, None), (False, rules.account_running_cap))
        )
        live = pool.live.value
        return together(fast, normal, live=live, share=rules.fast_share, at_work=pool.fast, room=room)

    def _hand_out(self, pool: Workers) -> None:
        while pool.free and pool.messages:
            worker = pool.free.popleft()
            pool.at_work.add(worker)
            self._env.process(self._work(pool, worker, pool.messages.popleft()))

    def _work(self, pool: Workers, worker: Worker, unit: Unit) -> Happening:
        """A worker has the unit, to its end, or until it has to go."""
        env, order = self._env, unit.job.order
        yield env.timeout(self._scenario.delays.delivery)
        pool.unclaimed -= 1
        pool.waiting.add(-1)
        pool.busy.add(1)
        if unit.stage is not Stage.FETCH and unit.job.started is None:
            unit.job.started = env.now
        cost = self._scenario.costs.get(stages.QUEUES[order.model], {}).get(unit.stage, _NOTHING)
        yield env.timeout(cost.unit)
        while unit.spans:
            yield env.timeout(cost.span + cost.frame * unit.spans.pop(0))
            if worker.leaves:
                break
        pool.busy.add(-1)
        pool.fast -= order.fast
        self._free(order)
        if unit.spans:
            self._wait(pool, unit)
        else:
            pool.open[order.fast][order.account] -= 1
            self._finish(unit)
        pool.release(worker)
        self._hand_out(pool)
        self._announce()

    def _free(self, order: Order) -> None:
        busy = self._busy[order.fast]
        busy[order.account] -= 1
        if not busy[order.account]:
            del busy[order.account]

    def _finish(self, unit: Unit) -> None:
        """Whoever finishes the last unit of a stage makes the next, or ends the job."""
        job, own = unit.job, unit.job.order.stages
        job.left[unit.stage] -= 1
        if job.left[unit.stage]:
            return
        job.done.add(unit.stage)
        self._make(job, stages.following(own, job.done, job.left))
        if job.done.issuperset(own):
            assert job.started is not None, "what is done has begun"
            self._renders.append(Render(job.order, job.started, self._env.now))
            self._end_if_over()

    def _end_if_over(self) -> None:
        if len(self._renders) + len(self._refused) == len(self._orders):
            self._over.succeed()
