"""The way to PostgreSQL: one engine a process, one transaction a ``with``."""

from __future__ import annotations

import secrets
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import ColumnElement, Engine, create_engine, func, text
from sqlalchemy.orm import Session, sessionmaker

#: A transaction that says nothing for so long is ended by the server. A process that stands still in the
#: middle of one, or whose machine is gone, would keep its locks, and with a job's row the whole sweeper.
#: Less than a lease, or a worker that stands still would keep its unit for longer than it may.
IDLE_SECONDS = 5
#: Connections on which a process reads at once, and on which it writes what one statement writes: whoever
#: writes may wait for a row, and must leave the others something to read with.
_READERS, _WRITERS = 16, 8
#: For so long a single statement waits for a row that somebody else is changing, in milliseconds.
_PATIENCE_MS = 5000
_LENGTH = 24
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class Database:
    """Opens transactions, and reads without one. Nothing connects before the first of either."""

    def __init__(self, url: str, pool_size: int = 5) -> None:
        #: libpq's own form of the address, for LISTEN and tools.
        self.url = url
        address = url.replace("postgresql://", "postgresql+psycopg://", 1)
        connect: dict[str, Any] = {
            "connect_timeout": 10,
            # A server that vanishes without a word is noticed within half a minute.
            **{"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3},
            "tcp_user_timeout": 25_000,
            "options": f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
        }
        self.engine = create_engine(address, pool_size=pool_size, pool_pre_ping=True, connect_args=connect)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        # One statement needs no transaction around it, and no question whether the server is there.
        alone: dict[str, Any] = {"max_overflow": 0, "pool_reset_on_return": None, "pool_use_lifo": True}
        alone["connect_args"] = {**connect, "autocommit": True}
        alone["connect_args"]["options"] += f" -c lock_timeout={_PATIENCE_MS}"
        self._readers = create_engine(address, pool_size=_READERS, **alone)
        self._writers = create_engine(address, pool_size=_WRITERS, **alone)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back on any error."""
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def at_once(self) -> Iterator[psycopg.Connection[Any]]:
        """No transaction: each statement is committed as soon as it is done, and none is undone.

        For what one statement writes whole: three ways to the server less than by ``begin``.
        """
        with _alive(self._writers) as connection:
            yield connection

    def read(self, statement: str, values: Sequence[object]) -> list[dict[str, Any]]:
        """The rows of one statement that changes nothing, without a transaction around it.

        Asked once more where the connection had died since it was used last.
        """
        try:
            return self._read(statement, values)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self._readers.dispose()  # the others have died with it
            return self._read(statement, values)

    def _read(self, statement: str, values: Sequence[object]) -> list[dict[str, Any]]:
        with _alive(self._readers) as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode(), values, prepare=True).fetchall()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()
        self._readers.dispose()
        self._writers.dispose()


@contextmanager
def _alive(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the pool that has not been hung up on, as far as this side knows."""
    pooled = engine.raw_connection()
    while _has_ended(cast("psycopg.Connection[Any]", pooled.driver_connection)):
        pooled.invalidate()
        pooled.close()
        pooled = engine.raw_connection()  # in the end a new one
    try:
        yield cast("psycopg.Connection[Any]", pooled.driver_connection)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        pooled.invalidate()
        raise
    finally:
        pooled.close()


def _has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Whether an idle connection has something to say: that is its end."""
    if connection.closed:
        return True
    looking = select.poll()
    looking.register(connection.fileno(), select.POLLIN)
    return bool(looking.poll(0))


def after(seconds: float) -> ColumnElement[datetime]:
    """The time that is ``seconds`` from the database's now; negative: ago."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def may_idle(session: Session) -> None:
    """The transaction may say nothing for as long as it likes: it waits for the store."""
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def raw(session: Session) -> psycopg.Connection[tuple[Any, ...]]:
    """The driver's own connection of the session's transaction, for the statements that are in a hurry."""
    return cast("psycopg.Connection[tuple[Any, ...]]", session.connection().connection.driver_connection)


def new_id(prefix: str) -> str:
    """An id that cannot be guessed (120 bits) and says what it names: ``job_...``."""
    number, letters = secrets.randbelow(36**_LENGTH), []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 36)
        letters.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(letters)}"
