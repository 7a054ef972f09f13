"""Bring a database to the newest revision of the tables."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from renderfarm.db import Database

#: Names this farm's migrations among a server's advisory locks.
_LOCK = 0x6661726D


def migrate(url: str) -> bool:
    """Apply every revision that is missing; safe to run twice, and by two processes at once.

    All of it is one transaction under one lock: whoever comes second waits, then finds nothing to do.
    Tables of a newer release are left as they are, so that one may go back to the release before: False.
    """
    database = Database(url)
    try:
        with database.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config = configuration()
            config.attributes["connection"] = connection
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            newer = not known.issuperset(MigrationContext.configure(connection).get_current_heads())
            if not newer:
                command.upgrade(config, "head")
            return not newer
    finally:
        database.close()


def configuration() -> Config:
    """Alembic's settings, from no file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
