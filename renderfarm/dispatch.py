"""The dispatcher: admits waiting units in fair order and publishes a message for each.

Any number of them may run. Admit, commit, then publish: a message names a unit that every worker
can see, and a crash in between costs one re-publish period. Messages are hints and rows are the
truth, so a lost message, or a second one, changes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from renderfarm import crash, jobs, leases
from renderfarm.db import Database, after
from renderfarm.models import Unit, UnitStatus
from renderfarm.progress import waiting_in_turn
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
#: Seconds between looks at whether to stop, while nothing is heard.
_HEARING = 0.25

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
    pools = leases.pools(session, settings)
    queues = session.scalars(select(Unit.queue).where(Unit.status == UnitStatus.WAITING).distinct())
    served = frozenset[str]().union(*(pool.pins for pool in pools.values()))
    admitted = []
    for queue in sorted(queues):
        pool = pools.get(queue, leases.Pool(idle=0, pins=frozenset()))
        # Without a worker nobody knows yet which versions will come.
        pins = pool.pins or None
        room = pool.idle + SLACK - _unclaimed(session, queue, pins)
        if room <= 0:
            continue
        line = waiting_in_turn(queue, pins, served)
        ids = session.scalars(
            select(line.c.id)
            .where(line.c.turn <= settings.account_running_cap)
            .order_by(line.c.place)
            .limit(room)
        )
        admitted += [Admitted(unit_id, queue) for unit_id in jobs.admit(session, ids.all())]
    return admitted


def overdue(session: Session, settings: Settings) -> list[Admitted]:
    """Units whose message nobody came for within ``republish_seconds``; publish them again."""
    late = (
        select(Unit.id)
        .where(Unit.status == UnitStatus.ADMITTED, Unit.published_at < after(-settings.republish_seconds))
        .order_by(Unit.id)
        .with_for_update(skip_locked=True)
    )
    again = session.execute(
        update(Unit)
        .where(Unit.id.in_(session.scalars(late).all()))
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
        #: Admitted, but the broker did not take the message: tried again at each round.
        self._unsent: dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Dispatch at every notice and every ``sweep_seconds``, and sweep beside it."""
        seconds = self._settings.sweep_seconds
        chores = [
            # Garbage has a thread of its own: a slow store must not hold up a lost worker's unit.
            threading.Thread(target=_repeat, args=(chore, seconds, stop), name=chore.__name__)
            for chore in (self._sweeper.sweep, self._sweeper.collect_garbage)
        ]
        for thread in chores:
            thread.start()
        bell = Bell(self._database.url)
        try:
            while not stop.is_set():
                _attempt(self.dispatch)
                bell.wait(seconds, stop)
        finally:
            stop.set()
            bell.close()
            for thread in chores:
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


class Bell:
    """Rings when a transaction announced work, heard on a connection of its own; else the clock does."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return at the next notice or the stop, or after ``seconds``, with or without PostgreSQL."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
                self._connection.execute(f"LISTEN {jobs.CHANNEL}")
                return  # what was announced before is heard by nobody: look for it
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0 and not stop.is_set():
                if any(self._connection.notifies(timeout=min(left, _HEARING), stop_after=1)):
                    return
        except psycopg.Error as error:
            log.warning("not listening, the clock has to do: %s", str(error).strip())
            self.close()
            stop.wait(seconds)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


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


def _unclaimed(session: Session, queue: str, pins: frozenset[str] | None) -> int:
    query = select(func.count()).where(Unit.queue == queue, Unit.status == UnitStatus.ADMITTED)
    if pins is not None:  # what no live worker can take must not hold up what it can
        query = query.where(Unit.pins.in_(pins))
    return session.execute(query).scalar_one()
