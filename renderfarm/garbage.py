"""Stored files that nobody owns yet, or no longer: rows that say what to delete, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from renderfarm.db import after
from renderfarm.models import Garbage
from renderfarm.settings import Settings


@dataclass(frozen=True, slots=True)
class Due:
    """A key whose time has come."""

    key: str
    #: Where it is deleted already, and to leave the caches once more.
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
            row.on_conflict_do_update(index_elements=[Garbage.key], set_={"after": row.excluded.after})
        )


def keep(session: Session, keys: Iterable[str]) -> None:
    """The keys belong to somebody, or are gone, from this transaction on."""
    session.execute(delete(Garbage).where(Garbage.key.in_(sorted(set(keys)))))


def again(session: Session, key: str, deleted_size: int, seconds: float) -> None:
    """The key was deleted, and goes through the sweeper's hands once more after ``seconds``."""
    values = {"after": after(seconds), "deleted_size": deleted_size}
    session.execute(update(Garbage).where(Garbage.key == key).values(values))


def next_due(session: Session, beside: str = "") -> Due | None:
    """A key whose time has come, locked until the transaction ends; None when there is none.

    Of those that begin with ``beside``, where that is not empty, none.
    The transaction may wait for the store, however slow it is.
    """
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    due = select(Garbage.key, Garbage.deleted_size).where(Garbage.after < func.now()).order_by(Garbage.after)
    if beside:
        due = due.where(~Garbage.key.startswith(beside, autoescape=True))
    row = session.execute(due.limit(1).with_for_update(skip_locked=True)).first()
    return None if row is None else Due(*row)
