"""The model against what queueing theory knows, and against the farm's own rules."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from pipeline.spec import RENDER, Model, Stage, VideoInfo, plan_for
from pipeline.units import spans_of
from renderfarm.simulate.demand import Order, orders
from renderfarm.simulate.farm import simulate
from renderfarm.simulate.outcome import Outcome, figures
from renderfarm.simulate.scale import Rule
from renderfarm.simulate.scenario import Pool, Scenario, ScenarioError, engine_layer, scenario_of

NO_DELAY = {"delays": {"admission": 0, "delivery": 0}}
ANY = {"rules": {"account_running_cap": 1_000_000}}


def scenario(workers: int, frame: float = 1.0, **more: Any) -> Scenario:
    """A V4 pool that draws a frame in so many seconds, and nothing else that takes time."""
    layer = {"pools": {"v4": {"least": workers}}, "costs": {"v4": {"segment": {"frame": frame}}}}
    return scenario_of(NO_DELAY, ANY, layer, more)


def order(number: int, at: float, frames: int, **more: Any) -> Order:
    """A job that is only drawn."""
    video = VideoInfo(1280, 720, Fraction(30), frames, True, "h264")
    own: dict[str, Any] = {
        "account": "a",
        "model": Model.V4,
        "mode": "preprocessed",
        "stages": (Stage.SEGMENT,),
    }
    return Order(number=number, at=at, video=video, **{**own, **more})


def poisson(rate: float, frames: float, count: int, *, seed: int = 1) -> list[Order]:
    """Arrivals by chance, whose lengths are exponential, too."""
    dice, at, made = random.Random(seed), 0.0, []
    for number in range(count):
        at += dice.expovariate(rate)
        made.append(order(number, at, max(1, round(dice.expovariate(1 / frames)))))
    return made


def mean_wait(outcome: Outcome) -> float:
    return sum(render.wait for render in outcome.renders) / len(outcome.renders)


@pytest.mark.parametrize("workers", [1, 3])
def test_each_wait_is_that_of_the_first_free_worker(workers: int) -> None:
    sent, free, expected = poisson(0.02 * workers, 40, 400), [0.0] * workers, {}
    for each in sent:  # Lindley's recursion, for as many as there are
        start = max(heapq.heappop(free), each.at)
        expected[each.number] = start - each.at
        heapq.heappush(free, start + each.video.frames)
    found = {render.order.number: render.wait for render in simulate(scenario(workers), sent).renders}
    assert found == pytest.approx(expected)
    assert max(expected.values()) > 60


def test_waits_are_those_of_an_mmc_queue() -> None:
    workers, load = 4, 0.7
    frames, rate = 40, load * workers / 40
    a = load * workers
    waiting = a**workers / math.factorial(workers) / (1 - load)
    erlang = waiting / (sum(a**k / math.factorial(k) for k in range(workers)) + waiting)
    expected = erlang * frames / (workers * (1 - load))
    found = simulate(scenario(workers), poisson(rate, frames, 6_000))
    assert mean_wait(found) == pytest.approx(expected, rel=0.1)
    use = found.pools["v4"]
    assert use.busy / use.workers == pytest.approx(load, rel=0.05)


def test_waits_are_those_of_an_md1_queue() -> None:
    own = {"demand": {"jobs_per_hour": 63, "hours": 80, "seconds": 4 / 3, "spread": 0, "v3": 0, "fast": 0}}
    asked = scenario(1, **own)
    sent = [replace(each, stages=(Stage.SEGMENT,)) for each in orders(asked.demand, 3)]
    load, service = 63 * 40 / 3600, 40
    expected = load * service / (2 * (1 - load))
    assert mean_wait(simulate(asked, sent)) == pytest.approx(expected, rel=0.1)


def test_the_units_in_line_are_their_rate_times_their_wait() -> None:
    found = simulate(scenario(3), poisson(0.06, 40, 500))
    assert found.pools["v4"].waiting == pytest.approx(sum(render.wait for render in found.renders))


def test_no_work_is_lost_or_made() -> None:
    asked = scenario_of(engine_layer("embedded"), {"demand": {"hours": 3, "fast": 0.3}})
    sent = orders(asked.demand, 0)
    found = simulate(asked, sent)
    done = [render.order for render in found.renders]
    assert sorted(each.number for each in (*done, *found.refused)) == [each.number for each in sent]
    assert sum(use.busy for use in found.pools.values()) == pytest.approx(
        sum(_work(asked, each) for each in done)
    )


def _work(asked: Scenario, order: Order) -> float:
    """Seconds of worker time that an order takes, however it is cut."""
    total = 0.0
    for stage, cost in asked.costs["v3" if order.model is Model.V3 else "v4"].items():
        spans = spans_of(stage, plan_for(order.model), order.video, ())
        units = len(spans) if order.fast and spans else 1
        frames = sum(map(len, spans))
        total += (
            units * cost.unit + len(spans) * cost.span + frames * cost.frame if stage in order.stages else 0
        )
    return total


def test_more_workers_never_wait_longer() -> None:
    sent = poisson(0.06, 40, 600)
    waits = [mean_wait(simulate(scenario(workers), sent)) for workers in range(2, 7)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] > 5 * waits[-1]


def test_the_same_seed_gives_the_same_numbers_and_another_one_others() -> None:
    layers = engine_layer("gpu"), {"demand": {"hours": 2}, "pools": {"v4": {"least": 0, "most": 5}}}
    asked = scenario_of(*layers)
    one, same, other = (figures(asked, simulate(asked, orders(asked.demand, seed))) for seed in (7, 7, 8))
    assert one == same
    assert one["waits"] != other["waits"]


def test_the_first_job_of_a_pool_of_none_waits_for_its_worker() -> None:
    pool = {"least": 0, "most": 3, "polling": 15, "node_start": 200, "worker_start": 30}
    asked = scenario_of(scenario_layer(pool))
    [render] = simulate(asked, [order(0, 20, 30)]).renders
    assert render.wait == pytest.approx(10 + 200 + 30 + 0.01 + 0.02)  # seen at 30


def scenario_layer(pool: Mapping[str, Any], **cost: float) -> dict[str, Any]:
    delays = {"admission": 0.01, "delivery": 0.02}
    return {"pools": {"v4": pool}, "costs": {"v4": {"segment": {"frame": 1, **cost}}}, "delays": delays}


def test_a_worker_that_has_to_go_hands_over_and_what_it_finished_is_kept() -> None:
    # One worker for each two units: when two long ones are left of four, one worker is told to go.
    pool = {"least": 1, "most": 2, "units_per_worker": 2, "polling": 10, "stabilization": 0}
    lengths = (30, 30, 480, 480)
    sent = [order(number, 0.5 * number, frames) for number, frames in enumerate(lengths)]
    found = simulate(scenario_of(scenario_layer(pool, unit=2)), sent)
    use = found.pools["v4"]
    assert (len(found.renders), use.most_workers) == (4, 2)
    assert use.busy == pytest.approx(sum(lengths) + 4 * 2 + 2)  # one was begun twice, and no span of it
    assert use.workers < 1.2 * use.busy


def test_an_account_has_no_more_at_once_than_its_cap() -> None:
    capped, two = {"rules": {"account_running_cap": 2}}, [order(number, 0, 30) for number in range(8)]
    alone = simulate(scenario_of(NO_DELAY, scenario_layer({"least": 10}), NO_DELAY, capped), two)
    assert alone.seconds == pytest.approx(8 * 30 / 2)
    shared = [replace(each, account=str(each.number)) for each in two]
    assert simulate(
        scenario_of(scenario_layer({"least": 10}), NO_DELAY, capped), shared
    ).seconds == pytest.approx(30)


def test_what_an_account_at_its_cap_has_begun_is_ended_before_more_is() -> None:
    asked = scenario_of(engine_layer("embedded"), {"pools": {"v4": {"least": 8}}})
    sent = [order(number, 0, 300, stages=RENDER, mode="full_pipeline") for number in range(20)]
    found = simulate(asked, sent).renders
    [alone] = simulate(asked, sent[:1]).renders
    assert max(render.ended - render.started for render in found) < 3 * alone.whole


def test_who_sends_one_job_does_not_wait_for_all_of_a_greedy_one() -> None:
    greedy = [order(number, 0, 30) for number in range(20)]
    found = simulate(scenario(1), [*greedy, order(20, 1, 30, account="b")])
    [modest] = [render for render in found.renders if render.order.account == "b"]
    assert modest.wait <= 4 * 30  # behind what is at work and what was admitted before


def test_a_fast_job_is_spread_over_the_pool_or_refused_where_two_are_not_free() -> None:
    fast = order(0, 0, 480, mode="fast")
    assert simulate(scenario(1), [fast]).refused == (fast,)
    [render] = simulate(scenario(8), [fast]).renders
    assert render.whole == pytest.approx(60)


def test_the_pool_grows_by_doubling_and_shrinks_slowly() -> None:
    rule = Rule(Pool(least=0, most=50, stabilization=60, fewer_at_once=2))
    there, seen = 0, []
    for look, units in enumerate([40] * 8 + [0] * 24):
        there = rule.wanted(15.0 * look, units, there)
        seen.append(there)
    assert seen[:8] == [1, 5, 5, 10, 10, 20, 20, 40]
    assert seen[8:11] == [40, 40, 40]  # it was wanted within the last minute
    assert min(seen[12:]) >= 40 - 2 * 2  # two in five minutes, and two when they are over


def test_profiles_bring_more_at_some_hours() -> None:
    demand = scenario_of({"demand": {"jobs_per_hour": 200, "hours": 4, "profile": [0, 1, 3, 0]}}).demand
    times = [each.at / 3600 for each in orders(demand, 0)]
    second, third = (sum(hour <= at < hour + 1 for at in times) for hour in (1, 2))
    assert second + third == len(times) == pytest.approx(800, rel=0.1)
    assert third == pytest.approx(3 * second, rel=0.2)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"demand": {"jobs": 3}}, "demand.jobs"),
        ({"demand": {"fast": 2}}, "demand.fast"),
        ({"pools": {"v5": {}}}, "v5"),
    ],
)
def test_what_cannot_be_meant_is_named(layer: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        scenario_of(layer)


def test_work_without_any_worker_is_refused() -> None:
    with pytest.raises(ScenarioError, match="v4, and may never"):
        simulate(scenario(0), [order(0, 0, 30)])
    with pytest.raises(ScenarioError, match="nobody"):
        simulate(scenario(1), [])
