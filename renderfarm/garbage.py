"""Stored files that nobody owns yet, or no longer: rows that say what to delete, and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from renderfarm.db import after, may_idle
from renderfarm.models import Garbage, GarbageState
from renderfarm.settings import Settings


@dataclass(frozen=True, slots=True)
class Due:
    """A key whose time has come."""

    key: str
    state: GarbageState
    #: What is noted of it, if it is.
    deleted_size: int | None


def throw(session: Session, settings: Settings, keys: Iterable[str], seconds: float | None = None) -> None:
    """Delete the keys after ``garbage_seconds`` unless ``keep`` is called for them before.

    To be committed *before* an upload starts, so that a process may die on any line of it.
    A key that ends in ``/`` stands for everything under it, one in ``/*`` for what is no artifact of its job
    there. Calling again starts the time anew.
    """
    delay = settings.garbage_seconds if seconds is None else seconds
    rows = [{"key": key, "after": after(delay)} for key in sorted(set(keys))]
    if rows:
        row = insert(Garbage).values(rows)
        session.execute(
            row.on_conflict_do_update(
                index_elements=[Garbage.key],
                # It may be there anew, and of another size.
                set_={
                    "after": row.excluded.after,
                    "state": GarbageState.STORED,
                    "deleted_size": None,
                },
            )
        )


def keep(session: Session, keys: Iterable[str]) -> None:
    """The keys belong to somebody, or are gone, from this transaction on."""
    session.execute(delete(Garbage).where(Garbage.key.in_(sorted(set(keys)))))


def note(session: Session, key: str, deleted_size: int) -> None:
    """Keep in mind how large the file is; to be committed before it is deleted."""
    session.execute(update(Garbage).where(Garbage.key == key).values(deleted_size=deleted_size))


def move(session: Session, due: Due, state: GarbageState | None, seconds: float = 0) -> None:
    """What was to be done is done: the rest in ``state`` after ``seconds``, or nothing more for None.

    Where somebody else has moved the row on, or thrown the key again, meanwhile, it stays as it is.
    """
    own = (Garbage.key == due.key, Garbage.state == due.state)
    if state is None:
        session.execute(delete(Garbage).where(*own))
    else:
        session.execute(update(Garbage).where(*own).values(state=state, after=after(seconds)))


def next_stored(session: Session) -> Due | None:
    """A key to delete, locked until the transaction ends; None when the time of none has come.

    The transaction may wait for the store, however slow it is.
    """
    may_idle(session)
    due = _due().where(Garbage.state == GarbageState.STORED).limit(1)
    row = session.execute(due).first()
    return None if row is None else Due(row.key, GarbageState(row.state), row.deleted_size)


def lease_deleted(session: Session, most: int, seconds: float) -> Sequence[Due]:
    """Keys that caches are to be told of, which nobody else gets within ``seconds``."""
    rows = session.execute(_due().where(Garbage.state != GarbageState.STORED).limit(most)).all()
    leased = update(Garbage).where(Garbage.key.in_([row.key for row in rows]))
    session.execute(leased.values(after=after(seconds)))
    return [Due(row.key, GarbageState(row.state), row.deleted_size) for row in rows]


def _due() -> Select[str, str, int | None]:
    """What is past its time and nobody's, the longest past first; the files of a job side by side."""
    return (
        select(Garbage.key, Garbage.state, Garbage.deleted_size)
        .where(Garbage.after < func.now())
        .order_by(Garbage.after, Garbage.key)
        .with_for_update(skip_locked=True)
    )
