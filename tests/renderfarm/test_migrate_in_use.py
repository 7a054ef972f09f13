"""A farm at work is migrated: nobody waits for it for long, and whoever died at it is made up for."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from subprocess import Popen

import psycopg
import pytest
from alembic import command

from renderfarm.db import Database, new_id
from renderfarm.local import postgres as embedded
from renderfarm.migrate import configuration, migrate
from tests.services.postgres import PostgresServer
from tests.waiting import until

#: The release before, and what the revisions after it add.
_BEFORE = "0012"
_INDICES = {"jobs_by_request", "jobs_with_outputs", "jobs_with_inputs", "jobs_ended"}
_VALID = "SELECT relname, indisvalid FROM pg_class JOIN pg_index ON indexrelid = oid WHERE relname = ANY(%s)"
_BUILDING = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'virtualxid' AND datname = current_database()"
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    """


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """A database of the release before."""
    name = new_id("before")
    embedded.create_database(postgres.url("postgres"), name)
    database = Database(postgres.url(name))
    with database.engine.connect() as connection:
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, _BEFORE)
    database.close()
    return database.url


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@contextmanager
def migrating(url: str) -> Iterator[Future[bool]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(migrate, url)


@contextmanager
def process(url: str) -> Iterator[Popen[bytes]]:
    program = f"from renderfarm.migrate import migrate; migrate({url!r})"
    with Popen([sys.executable, "-c", program]) as started:
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def holding_up_indices(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Someone reads for long: a column can be added meanwhile, and an index is not done before them."""
    with connected(url) as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        yield reader


def others(looking: psycopg.Connection[tuple[object, ...]]) -> object:
    """How many connections there are to the database beside this one."""
    [[number]] = looking.execute(_OTHERS)
    return number


def indices(looking: psycopg.Connection[tuple[object, ...]]) -> dict[object, object]:
    """The newest revisions' indices that are there, and whether each is whole."""
    return {name: valid for name, valid in looking.execute(_VALID, [list(_INDICES)])}


@pytest.mark.parametrize("table", ["jobs", "garbage"])
def test_a_table_in_use_is_waited_for_and_its_readers_do_not_wait(
    url: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "renderfarm.migrate")
    longest, reads = 0.0, 0
    with connected(url) as reader, connected(url) as sweeper, sweeper.transaction():
        reader.execute("SET statement_timeout = '5s'")
        sweeper.execute(f"DELETE FROM {table}".encode())
        with migrating(url) as migrated:
            try:
                while len(caplog.records) < 2:
                    assert not migrated.done()
                    began = time.monotonic()
                    reader.execute("SELECT count(*) FROM jobs, garbage, accounts")
                    longest, reads = max(longest, time.monotonic() - began), reads + 1
            finally:
                sweeper.execute("ROLLBACK")
            assert migrated.result() is True
        assert indices(reader) == dict.fromkeys(_INDICES, True)
    assert all(table in record.getMessage() for record in caplog.records)
    assert 0.1 < longest < 1, "it never waited, or too long"


def test_whoever_is_killed_between_a_column_and_its_index_is_made_up_for(url: str) -> None:
    with connected(url) as looking, holding_up_indices(url), process(url) as killed:
        until(lambda: looking.execute(_BUILDING).fetchone())
        killed.kill()
        until(lambda: others(looking) == 1)  # its lock is gone with it
        assert indices(looking) == {"jobs_by_request": False}
        assert looking.execute("SELECT version_num FROM alembic_version").fetchall() == [(_BEFORE,)]
        looking.execute("SELECT request_id, traceparent FROM jobs")
    assert migrate(url) is True
    with connected(url) as looking:
        assert indices(looking) == dict.fromkeys(_INDICES, True)


def test_two_processes_at_once_take_turns_while_an_index_is_built(url: str) -> None:
    with connected(url) as looking, holding_up_indices(url) as reader:
        with process(url) as first, process(url) as second:
            until(lambda: looking.execute(_BUILDING).fetchone() and others(looking) == 3)
            reader.execute("ROLLBACK")
            assert (first.wait(20), second.wait(20)) == (0, 0)
        assert indices(looking) == dict.fromkeys(_INDICES, True)
