"""A real PostgreSQL for the tests, and a fresh migrated database for each that asks."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from renderfarm.local import postgres
from renderfarm.local.ports import free_port
from tests.services.processes import running

_TEMPLATE = "template_farm"
#: What a database has that few rows ever were in.
_MOST_BYTES = 12_000_000
_AS_IT_WAS = """
    SELECT pg_database_size(current_database()) < %s, NOT EXISTS (
        SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())
    """
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"


@dataclass
class PostgresServer:
    """A running server; ``fresh_database`` copies the migrated template in some 50 ms."""

    cluster: postgres.Postgres
    port: int

    def __post_init__(self) -> None:
        self._names = count(1)
        self._empty: list[str] = []

    def url(self, database: str) -> str:
        return self.cluster.url(self.port, database)

    def make_template(self) -> None:
        from renderfarm.migrate import migrate

        postgres.create_database(self.url("postgres"), _TEMPLATE)
        migrate(self.url(_TEMPLATE))

    @contextmanager
    def lent_database(self) -> Iterator[str]:
        """The address of a database with every table and no row; emptied afterwards for whoever comes next.

        One that is not as it was (grown, changed, or still in use) is nobody's any more.
        """
        url = self._empty.pop() if self._empty else self.fresh_database()
        yield url
        try:
            with psycopg.connect(url) as connection:
                [[small, alone]] = connection.execute(_AS_IT_WAS, [_MOST_BYTES])
                if small and alone:
                    tables = connection.execute(_TABLES).fetchall()
                    # Nor does a trigger or a foreign key mind.
                    connection.execute("SET LOCAL session_replication_role = replica")
                    for (table,) in tables:
                        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
                    self._empty.append(url)
        except psycopg.Error:
            pass

    def fresh_database(self) -> str:
        """The address of a new database with every table and no row."""
        name = f"test_{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(_TEMPLATE)
                )
            )
        return self.url(name)


@contextmanager
def postgres_server(folder: Path) -> Iterator[PostgresServer]:
    """A server with its data under ``folder``; both are gone afterwards."""
    cluster = postgres.prepare(folder)
    port = free_port()
    try:
        with running(
            [*cluster.command(port), "-c", "fsync=off"],  # nobody pulls this machine's plug
            port=port,
            cwd=Path("/"),
            user=cluster.user,
            stop=signal.SIGQUIT,  # at once: its data goes with it
            log=folder / "postgres.log",
        ):
            postgres.wait_ready(cluster.url(port, "postgres"), 30)
            yield PostgresServer(cluster, port)
    finally:
        # Hundreds of databases of hundreds of files each: rm has them in a tenth of Python's time.
        subprocess.run(["rm", "-rf", cluster.data], check=True)
