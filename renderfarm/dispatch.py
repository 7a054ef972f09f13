"""The dispatcher: admits waiting units in fair order and publishes a message for each.

Any number of them may run. Admit, commit, then publish: a message names a unit that every worker
can see, and a crash in between costs one re-publish period. Messages are hints and rows are the
truth, so a lost message, or a second one, changes nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from renderfarm import crash, jobs, line
from renderfarm.bell import Bell
from renderfarm.db import Database, after
from renderfarm.kubernetes import DeletionCosts
from renderfarm.models import Unit, UnitStatus
from renderfarm.pools import NOBODY, live_pools
from renderfarm.settings import Settings
from renderfarm.storage import Storage
from renderfarm.sweep import Sweeper

log = logging.getLogger(__name__)

#: The Celery task that a message calls, with the unit's id as its one argument.
TASK = "render.unit"
#: Units of a queue that may be admitted beyond its idle workers, so that none waits for a message.
SLACK = 2
#: Names the admission among a server's advisory locks.
_LOCK = 0x61646D74

#: What is seldom amiss is looked at in every so manieth sweep.
_SELDOM = 10

#: Sends the message for a unit (its id) to a queue; may raise anything.
Publish = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A unit whose message is to be published."""

    unit_id: str
    queue: str


def admit(session: Session, settings: Settings) -> list[Admitted]:
    """Admit what the pools have room for, in fair order; publish them once this is committed."""
    # One dispatcher at a time counts the room, or two would fill it twice.
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    pools = live_pools(session, settings)
    busy = line.busy_of(session, pools)
    admitted = []
    for queue, lines in line.standing(session).items():
        pool = pools.get(queue, NOBODY)
        room = pool.idle + SLACK - busy.unclaimed.get(queue, 0)
        if room <= 0:
            continue
        turns = line.next_turns(session, settings, queue, lines, pool, busy, room)
        moved = set(jobs.admit(session, [turn.unit_id for turn in turns.units]))
        line.serve(session, queue, turns, moved)
        admitted += [Admitted(turn.unit_id, queue) for turn in turns.units if turn.unit_id in moved]
    return admitted


def overdue(session: Session, settings: Settings) -> list[Admitted]:
    """Units whose message nobody came for within ``republish_seconds``; publish them again.

    Only where a worker is idle: one that is busy has the message still before it, and would find as many
    copies of it as its work takes periods.
    """
    late = (
        select(Unit.id)
        .where(Unit.status == UnitStatus.ADMITTED, Unit.published_at < after(-settings.republish_seconds))
        .order_by(Unit.id)
        .with_for_update(skip_locked=True)
    )
    if not session.scalars(late).first():
        return []  # as nearly always, with somebody's first unit waiting for this round
    free = [queue for queue, pool in live_pools(session, settings).items() if pool.idle]
    found = session.scalars(late.where(Unit.queue.in_(free))).all()
    again = session.execute(
        update(Unit)
        .where(Unit.id.in_(found))
        .values(published_at=func.now())
        .returning(Unit.id, Unit.queue, Unit.admitted_at)
    ).all()
    return [Admitted(row.id, row.queue) for row in sorted(again, key=lambda row: row.admitted_at)]


class Dispatcher:
    """Dispatches and sweeps until it is told to stop, whatever PostgreSQL and Redis go through."""

    def __init__(self, settings: Settings, database: Database, publish: Publish, storage: Storage) -> None:
        self._settings = settings
        self._database = database
        self._publish = publish
        self._sweeper = Sweeper(settings, database, storage)
        self._costs = DeletionCosts(settings, database) if settings.kubernetes_pods else None
        #: Admitted, but the broker did not take the message: tried again at each round.
        self._unsent: dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Dispatch at every notice and every ``sweep_seconds``, and sweep beside it."""
        seconds = self._settings.sweep_seconds
        chores: list[tuple[Callable[[], int], float]] = [
            (self._sweeper.sweep, seconds),
            (self._sweeper.collect_garbage, seconds),
            (self._sweeper.tidy, _SELDOM * seconds),
        ]
        if self._costs is not None:
            chores.append((self._costs.tell, DeletionCosts.EVERY_SECONDS))
        threads = [
            # Each has a thread of its own: a slow store must not hold up a lost worker's unit.
            threading.Thread(target=_repeat, args=(chore, every, stop), name=chore.__name__)
            for chore, every in chores
        ]
        for thread in threads:
            thread.start()
        bell = Bell(self._database.url)
        try:
            while not stop.is_set():
                _attempt(self.dispatch)
                bell.wait(seconds, stop)
        finally:
            stop.set()
            bell.close()
            for thread in threads:
                thread.join()

    def dispatch(self) -> int:
        """One round: admit, and publish that and what is overdue; how many messages went out."""
        with self._database.begin() as session:
            due = overdue(session, self._settings) + admit(session, self._settings)
        if due:
            crash.here(self._settings, crash.Point.ADMITTED)
        self._unsent.update((unit.unit_id, unit.queue) for unit in due)
        sent = 0
        while self._unsent:
            unit_id, queue = next(iter(self._unsent.items()))
            try:
                self._publish(unit_id, queue)
            except Exception as error:  # each broker has its own errors; none may end the dispatcher
                log.warning("the broker took no message (%d wait): %s", len(self._unsent), error)
                break
            crash.here(self._settings, crash.Point.PUBLISHED)
            del self._unsent[unit_id]
            sent += 1
        return sent


def celery_publisher(settings: Settings) -> Publish:
    """Publishes through Celery, as a bare producer: no result backend, no task code.

    It raises when the broker does not answer; when to try again is the dispatcher's to say.
    """
    from celery import Celery

    app = Celery("renderfarm", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            # Without these kombu waits for the broker itself, without end.
            "max_retries": 0,
            "interval_start": 0,
        },
    )

    def publish(unit_id: str, queue: str) -> None:
        app.send_task(TASK, args=[unit_id], queue=queue, ignore_result=True, retry=False)

    return publish


def _repeat(action: Callable[[], int], seconds: float, stop: threading.Event) -> None:
    while not stop.is_set():
        _attempt(action)
        stop.wait(seconds)


def _attempt(action: Callable[[], int]) -> None:
    """Do it; where the database is away, say so and leave it to the next round."""
    try:
        action()
    except SQLAlchemyError as error:
        log.warning("%s has to wait: %s", action.__name__, str(error).splitlines()[0])
    except Exception:
        log.exception("%s failed; it is tried again", action.__name__)
