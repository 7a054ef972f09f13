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

import prometheus_client
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from renderfarm import context, crash, jobs, line, stages, tracing
from renderfarm.bell import Bell
from renderfarm.db import Database, after
from renderfarm.kubernetes import DeletionCosts
from renderfarm.messages import Message, Publish, messages
from renderfarm.models import Unit, UnitStatus
from renderfarm.pools import NOBODY, live_pools
from renderfarm.settings import Settings
from renderfarm.storage import Storage
from renderfarm.sweep import Sweeper
from renderfarm.turns import room_for

log = logging.getLogger(__name__)

#: Names the admission among a server's advisory locks.
_LOCK = 0x61646D74

#: A dispatcher that has not got on for so long hangs. PostgreSQL or Redis that does not answer, and a lock
#: that somebody keeps, are no reason: they end a round within a minute (``db``, ``bell``, ``messages``).
#: One outage does not, a server that is frozen while its machine is not; it costs a single restart, since a
#: new process waits for its connection in vain, and that ends.
HUNG_SECONDS = 120.0
#: How long a round waits for a lock.
_PATIENCE = "30s"

#: What is seldom amiss is looked at in every so manieth sweep.
_SELDOM = 10

_LAG = prometheus_client.Gauge(
    "renderfarm_dispatch_lag_seconds",
    "How long ago the dispatcher last had admitted what there was room for, and all messages were taken.",
)
_MESSAGES = prometheus_client.Counter(
    "renderfarm_messages_published_total",
    "Messages that the broker took, repeated ones too.",
    ["queue"],
)
for _queue in stages.ALL:
    _MESSAGES.labels(_queue)


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
        room = room_for(pool.idle, busy.unclaimed.get(queue, 0))
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
        self._unsent: dict[str, Message] = {}
        self._caught_up = self._got_on = time.monotonic()

    def alive(self) -> bool:
        """Whether rounds come to an end, well or not: an outage ends them too, and no restart mends it."""
        return time.monotonic() - self._got_on < HUNG_SECONDS

    def run(self, stop: threading.Event) -> None:
        """Dispatch at every notice and every ``sweep_seconds``, and sweep beside it."""
        seconds = self._settings.sweep_seconds
        chores: list[tuple[Callable[[], int], float]] = [
            (self._sweeper.sweep, seconds),
            (self._sweeper.collect_garbage, seconds),
            (self._sweeper.purge_caches, seconds),
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
        log.info("dispatching")
        _LAG.set_function(lambda: time.monotonic() - self._caught_up)
        try:
            while not stop.is_set():
                _attempt(self.dispatch)
                self._got_on = time.monotonic()
                bell.wait(seconds, stop)
        finally:
            stop.set()
            bell.close()
            for thread in threads:
                thread.join()

    def dispatch(self) -> int:
        """One round: admit, and publish that and what is overdue; how many messages went out."""
        with self._database.begin() as session:
            session.execute(select(func.set_config("lock_timeout", _PATIENCE, True)))
            admitted = overdue(session, self._settings) + admit(session, self._settings)
            due = messages(session, [(unit.unit_id, unit.queue) for unit in admitted])
        if due:
            crash.here(self._settings, crash.Point.ADMITTED)
        self._unsent.update((message.unit_id, message) for message in due)
        sent = 0
        while self._unsent:
            message = next(iter(self._unsent.values()))
            try:
                self._send(message)
            except Exception as error:  # each broker has its own errors; none may end the dispatcher
                log.warning("the broker took no message (%d wait): %s", len(self._unsent), error)
                break
            crash.here(self._settings, crash.Point.PUBLISHED)
            del self._unsent[message.unit_id]
            self._got_on = time.monotonic()  # a slow broker makes a long round of many messages
            _MESSAGES.labels(message.queue).inc()
            sent += 1
        if not self._unsent:
            self._caught_up = time.monotonic()
        return sent

    def _send(self, message: Message) -> None:
        about = message.about
        with context.about(**message.context()):
            self._publish(message)
            log.info("published to %s", message.queue)
            # As long as the unit has waited for its turn.
            with tracing.span(
                "admit",
                under=about.traceparent if about else None,
                since=about.since if about else None,
                queue=message.queue,
            ):
                pass


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
