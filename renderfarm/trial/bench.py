"""``farm bench faults``: every kind of fault, mixtures of them, duels and delays, and what was found."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from renderfarm.trial import checks, duel
from renderfarm.trial.case import Fault, Finding, try_out, undisturbed
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.kinds import every
from renderfarm.trial.mixture import mixture
from renderfarm.trial.waiting import until

#: Kinds in a sample.
_SAMPLE = 30
_DUELS, _SAMPLE_DUELS = 1000, 100
_WAITING, _SAMPLE_WAITING = 10_000, 500
#: The clock that a farm has by default, for what is measured by it.
_DEFAULT_CLOCK: dict[str, Any] = {
    "lease_seconds": 6.0,
    "heartbeat_seconds": 1.0,
    "sweep_seconds": 1.0,
    "republish_seconds": 10.0,
    "retry_seconds": 2.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be tried."""

    seed: int = 0
    #: Parts of names; empty: a sample from the seed, or with ``full`` all.
    only: Sequence[str] = ()
    mixtures: int = 1
    #: Jobs in a mixture.
    jobs: int = 20
    full: bool = False


def kinds(wish: Wish) -> list[Fault]:
    """The kinds to try."""
    found = every()
    if wish.only:
        return [fault for fault in found if any(part in fault.name for part in wish.only)]
    if wish.full:
        return found
    return sample(found, wish.seed, _SAMPLE)


def sample(faults: Sequence[Fault], seed: int, number: int) -> list[Fault]:
    """So many of the quick ones, the same for the same seed, of every room in turn."""
    rooms: dict[str, list[Fault]] = {}
    for fault in faults:
        if not fault.slow:
            rooms.setdefault(fault.room, []).append(fault)
    dice = random.Random(seed)
    shuffled = [dice.sample(room, len(room)) for room in dice.sample(list(rooms.values()), len(rooms))]
    in_turn = [fault for turn in zip_longest(*shuffled) for fault in turn if fault is not None]
    return in_turn[:number]


def run(wish: Wish, report: Callable[[Finding], None]) -> dict[str, Any]:
    """Try everything that is wished for, one after the other; ``report`` hears of each."""
    findings: list[Finding] = []
    with Ground.open() as ground:
        for finding in _all(ground, wish):
            report(finding)
            findings.append(finding)
    failed = [finding.name for finding in findings if finding.wrong]
    return {
        "seed": wish.seed,
        "tried": len(findings),
        "survived": len(findings) - len(failed),
        "failed": failed,
        "findings": [asdict(finding) for finding in findings],
    }


def _all(ground: Ground, wish: Wish) -> Iterator[Finding]:
    truth = undisturbed(ground)
    for fault in kinds(wish):
        yield try_out(ground, fault, truth)
    if wish.only:
        return
    for number in range(wish.mixtures):
        yield try_out(ground, mixture(wish.seed + number, wish.jobs), truth)
    yield duels(ground, _DUELS if wish.full else _SAMPLE_DUELS)
    yield waiting(ground, _WAITING if wish.full else _SAMPLE_WAITING)
    for harm in (_kill, _stop):
        yield elsewhere(ground, harm)


def duels(ground: Ground, number: int) -> Finding:
    """Cancel against finish."""
    begun = time.monotonic()
    with Farm.open(ground, workers={}, dispatchers=0) as farm:
        fought = duel.fight(farm, number)
        with farm.database.begin() as session:
            session.execute(duel.FORGET_GARBAGE)
        wrong = [*fought.wrong, *checks.rows(farm)]
    ends = {"complete": fought.finished, "cancelled": fought.cancelled}
    return _finding(f"{number} duels of cancel and finish", begun, ends, wrong, {})


def waiting(ground: Ground, number: int, seconds: float = 10) -> Finding:
    """Redis holds about as many messages as there are workers, however many jobs wait."""
    begun = time.monotonic()
    workers = {"v4": 2, "cpu": 1}
    bound = 2 * sum(workers.values()) + 2
    most = 0
    with Farm.open(ground, dispatchers=0, workers=workers, engine_v4="fixed:ms=200") as farm:
        for _ in range(3):
            farm.submit()
        for _ in range(number):
            farm.submit_rows()
        farm.add_dispatcher()
        farm.wait_ready()
        until_then = time.monotonic() + seconds
        with farm.broker() as broker:
            while time.monotonic() < until_then:
                queued = sum(broker.llen(queue) for queue in workers)
                most = max(most, queued + broker.hlen("unacked"))
                time.sleep(0.05)
    wrong = [f"{most} messages, more than {bound}"] if most > bound else []
    return _finding(f"{number} jobs wait", begun, {}, wrong, {"messages": most})


def elsewhere(ground: Ground, harm: Callable[[Farm, str], None]) -> Finding:
    """How long until a lost worker's unit runs on another, by a farm's usual clock."""
    begun = time.monotonic()
    with Farm.open(ground, **_DEFAULT_CLOCK, engine_v4="fixed:ms=100") as farm:
        job_id = farm.submit()
        farm.wait_drawing(job_id)
        lost = time.monotonic()
        harm(farm, job_id)
        until(lambda: farm.units(job_id)["segment:0"].attempt > 1, 30, "the unit to run elsewhere")
        seconds = round(time.monotonic() - lost, 2)
    wrong = [f"only after {seconds} s"] if seconds > 15 else []
    return _finding(f"a unit runs elsewhere: {harm.__doc__}", begun, {}, wrong, {"seconds": seconds})


def _kill(farm: Farm, job_id: str) -> None:
    """its worker was killed"""
    worker = farm.worker_of(f"{job_id}:segment:0")
    assert worker is not None
    worker.kill()


def _stop(farm: Farm, job_id: str) -> None:
    """its worker stands still"""
    worker = farm.worker_of(f"{job_id}:segment:0")
    assert worker is not None
    worker.pause()


def _finding(
    name: str, begun: float, ends: dict[str, int], wrong: list[str], notes: dict[str, float]
) -> Finding:
    return Finding(name, round(time.monotonic() - begun, 1), ends, tuple(wrong), notes)
