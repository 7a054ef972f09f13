"""The workers that are there: what each last said of itself, and what each queue's pool can do."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from renderfarm.bell import announce
from renderfarm.claims import WorkerIdentity
from renderfarm.db import after
from renderfarm.models import Unit, UnitStatus, Worker
from renderfarm.settings import Settings

#: A worker's row is forgotten after this many leases without a report.
_FORGOTTEN_AFTER = 10


def report_worker(session: Session, worker: WorkerIdentity, unit_id: str | None) -> None:
    """The worker is alive, and works on this unit or on none."""
    row = insert(Worker).values(
        name=worker.name, queue=worker.queue, versions=dict(worker.versions), unit_id=unit_id
    )
    seen = {name: row.excluded[name] for name in ("queue", "versions", "unit_id")}
    is_new = session.scalar(
        row.on_conflict_do_update(
            index_elements=[Worker.name], set_={**seen, "seen_at": func.now()}
        ).returning(literal_column("xmax = 0"))
    )
    if is_new:
        announce(session)  # there is room for one more


def forget_worker(session: Session, name: str) -> None:
    """The worker has gone for good."""
    session.execute(delete(Worker).where(Worker.name == name))


def forget_dead_workers(session: Session, settings: Settings) -> list[str]:
    """Drop the rows of workers that stopped reporting without a word; their names."""
    long_ago = after(-_FORGOTTEN_AFTER * settings.lease_seconds)
    dead = session.scalars(delete(Worker).where(Worker.seen_at < long_ago).returning(Worker.name))
    return list(dead)


@dataclass(frozen=True, slots=True)
class Pool:
    """The live workers of one queue."""

    #: Workers that reported within a lease.
    live: int
    #: Those of them that run no unit.
    idle: int
    #: The pins that at least one of them can serve.
    pins: frozenset[str]


#: The pool of a queue without a live worker: nobody knows yet which versions will come.
NOBODY = Pool(live=0, idle=0, pins=frozenset())


def live_pools(session: Session, settings: Settings) -> dict[str, Pool]:
    """The pool of each queue that has a live worker."""
    live: dict[str, list[tuple[frozenset[str], bool]]] = defaultdict(list)
    for identity, busy in _live(session, settings):
        live[identity.queue].append((identity.pins(), busy))
    return {
        queue: Pool(
            live=len(workers),
            idle=sum(not busy for _, busy in workers),
            pins=frozenset().union(*(pins for pins, _ in workers)),
        )
        for queue, workers in live.items()
    }


def idle_workers(session: Session, settings: Settings, but: WorkerIdentity) -> list[WorkerIdentity]:
    """The live workers of a worker's queue that run no unit, without itself."""
    return [
        identity
        for identity, busy in _live(session, settings)
        if identity.queue == but.queue and identity.name != but.name and not busy
    ]


def busy_hosts(session: Session) -> frozenset[str]:
    """The machines, or pods, on which a worker runs a unit: what its name begins with."""
    names = session.scalars(select(Unit.worker).where(Unit.status == UnitStatus.RUNNING).distinct())
    return frozenset(name.partition(":")[0] for name in names if name)


def _live(session: Session, settings: Settings) -> list[tuple[WorkerIdentity, bool]]:
    """Every worker that reported within a lease, and whether it runs a unit."""
    running = select(Unit.worker).where(Unit.status == UnitStatus.RUNNING)
    query = select(Worker, Worker.name.in_(running)).where(Worker.seen_at > after(-settings.lease_seconds))
    return [
        (WorkerIdentity(worker.name, worker.queue, worker.versions), bool(busy))
        for worker, busy in session.execute(query)
    ]
