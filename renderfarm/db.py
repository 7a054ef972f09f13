"""The way to PostgreSQL: one engine a process, one transaction a ``with``."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import ColumnElement, create_engine, func
from sqlalchemy.orm import Session, sessionmaker

#: A transaction that says nothing for so long is ended by the server. A process that stands still in the
#: middle of one, or whose machine is gone, would keep its locks, and with a job's row the whole sweeper.
IDLE_SECONDS = 15
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class Database:
    """Opens transactions. Nothing connects before the first one."""

    def __init__(self, url: str, pool_size: int = 5) -> None:
        #: libpq's own form of the address, for LISTEN and tools.
        self.url = url
        self.engine = create_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            pool_size=pool_size,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": 10,
                # A server that vanishes without a word is noticed within half a minute.
                **{"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3},
                "tcp_user_timeout": 25_000,
                "options": f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
            },
        )
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back on any error."""
        with self._sessions.begin() as session:
            yield session

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def after(seconds: float) -> ColumnElement[datetime]:
    """The time that is ``seconds`` from the database's now; negative: ago."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def new_id(prefix: str) -> str:
    """An id that cannot be guessed (120 bits) and says what it names: ``job_...``."""
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(24))}"
