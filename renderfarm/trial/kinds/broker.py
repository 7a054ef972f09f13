"""What can happen to Redis and to the messages in it: they are hints, and rows decide."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator

from renderfarm.messages import Message, celery_publisher
from renderfarm.models import Unit
from renderfarm.trial.case import Case, Fault
from renderfarm.trial.kinds.processes import LONG, during
from renderfarm.trial.process import Process

_QUEUES = ("v4", "cpu")


def faults() -> Iterator[Fault]:
    """To the server, as soon as jobs wait and while they are drawn; and to the messages alone."""
    harms: tuple[tuple[str, Callable[[Case], None]], ...] = (
        ("is killed and comes back", _killed),
        ("is restarted", _restarted),
        ("comes back empty", _emptied),
        ("is flushed", _flushed),
        ("stands still", _still),
        ("loses its queues", _unqueued),
    )
    for name, harm in harms:
        yield Fault(name=f"Redis {name} while jobs wait", act=_at_once(harm))
        yield Fault(name=f"Redis {name} while drawing", act=during(_whoever(harm)))
        yield Fault(name=f"Redis {name} while analysing", act=during(_whoever(harm), "analyse:0"))
    yield Fault(name="Redis is away when a job comes", act=_away)
    yield Fault(name="the same message three times at once", act=_tripled, farm={"dispatchers": 0})
    yield Fault(name="a storm of messages", act=_storm)
    yield Fault(name="messages of units that never were", act=_nonsense)


def _at_once(harm: Callable[[Case], None]) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        case.submit()
        harm(case)

    return act


def _whoever(harm: Callable[[Case], None]) -> Callable[[Case, Process], None]:
    return lambda case, _: harm(case)


def _killed(case: Case) -> None:
    case.farm.redis.restart()


def _restarted(case: Case) -> None:
    case.farm.redis.stop()
    case.farm.redis.start()


def _emptied(case: Case) -> None:
    case.farm.redis.kill()
    shutil.rmtree(case.farm.folder / "redis" / "appendonlydir", ignore_errors=True)
    case.farm.redis.start()


def _flushed(case: Case) -> None:
    with case.farm.broker() as broker:
        broker.flushall()


def _still(case: Case) -> None:
    case.farm.redis.pause()
    time.sleep(LONG)
    case.farm.redis.resume()


def _unqueued(case: Case) -> None:
    with case.farm.broker() as broker:
        broker.delete(*_QUEUES)


def _away(case: Case) -> None:
    case.farm.redis.kill()
    case.submit()
    time.sleep(2)
    case.farm.redis.start()


def _tripled(case: Case) -> None:
    """Nobody but us publishes at first: each message three times."""
    case.submit()
    publish = celery_publisher(case.farm.settings)
    with case.farm.database.begin() as session:
        units = [(unit.id, unit.queue) for unit in session.query(Unit)]
        session.query(Unit).update({"status": "admitted", "published_at": Unit.created_at})
    for unit_id, queue in units:
        for _ in range(3):
            publish(Message(unit_id, queue))
    case.farm.add_dispatcher()


def _storm(case: Case) -> None:
    """Every unit that is to be had, or was, is published again and again until the jobs have ended."""
    jobs = case.submit()
    publish = celery_publisher(case.farm.settings)
    while not set(case.farm.statuses(jobs).values()) <= {"complete", "failed"}:
        with case.farm.database.begin() as session:
            units = [(unit.id, unit.queue) for unit in session.query(Unit).where(Unit.status != "waiting")]
        for unit_id, queue in units:
            publish(Message(unit_id, queue))
        time.sleep(0.2)


def _nonsense(case: Case) -> None:
    publish = celery_publisher(case.farm.settings)
    for queue in _QUEUES:
        for unit_id in ("", "no unit", "job_x:segment:0", "job_x:segment:0:" * 500):
            publish(Message(unit_id, queue))
    case.submit()
