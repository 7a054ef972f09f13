"""Bring a database to the newest revision of the tables."""

from __future__ import annotations

import logging
import random
import time
from itertools import count
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from renderfarm.db import Database
from renderfarm.migrations.in_use import BRIEFLY

log = logging.getLogger(__name__)

#: Names this farm's migrations among a server's advisory locks.
_LOCK = 0x6661726D
#: A client that is gone is noticed in the middle of a statement: its lock is somebody else's to take.
_NOTICE_THE_END = "SET client_connection_check_interval = '1s'"
#: So often a table that is in use is tried, for some ten minutes.
_TRIES = 400


def migrate(url: str) -> bool:
    """Apply every revision that is missing, beside a farm at work; safe to run twice, and by two at once.

    Each revision is a transaction, and one lock is over them all: whoever comes second waits, then finds
    nothing to do; whoever is killed lets go of it, and the next goes on from there.
    Tables of a newer release are left as they are, so that one may go back to the release before: False.
    """
    database = Database(url)
    try:
        with database.engine.connect() as connection:
            _take_turns(connection)
            config = configuration()
            config.attributes["connection"] = connection
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            newer = not known.issuperset(MigrationContext.configure(connection).get_current_heads())
            connection.commit()
            if not newer:
                _upgrade(config, connection)
            return not newer
    finally:
        database.close()


def _take_turns(connection: Connection) -> None:
    """Wait until no other process migrates; the turn ends with the connection.

    By asking again and again: an index that is built beside others waits for every statement that was there
    before, and so for one that would wait for the builder's lock.
    """
    connection.execute(text(_NOTICE_THE_END))
    connection.commit()
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
        connection.commit()
        time.sleep(random.uniform(0.1, 0.3))
    connection.commit()


def _upgrade(config: Config, connection: Connection) -> None:
    """Run the revisions; one that finds its table in use lets the others pass, and is run again."""
    for tries in count(1):
        connection.execute(text(BRIEFLY))
        connection.commit()
        try:
            command.upgrade(config, "head")
            return
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected) or tries == _TRIES:
                raise
            connection.rollback()
            log.warning("a table is in use, trying again: %s", error.statement)
            time.sleep(random.uniform(0.5, 1.5))


def configuration() -> Config:
    """Alembic's settings, from no file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
