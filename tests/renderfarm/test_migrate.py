"""The migrations make exactly the tables that the models describe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, text

from renderfarm.db import Database
from renderfarm.local import postgres as embedded
from renderfarm.migrate import configuration, migrate
from renderfarm.models import Base
from tests.services.postgres import PostgresServer


def test_the_migrations_and_the_models_agree(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_the_migrations_and_the_models_have_the_same_checks(database: Database) -> None:
    """Alembic does not compare CHECK constraints, and the money rests on two of them."""
    query = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
    with database.engine.connect() as connection:
        there = set(connection.execute(text(query)).scalars())
    named = {
        constraint.name
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert there == named
    assert "available_not_negative" in there


def test_migrating_twice_and_by_several_at_once_is_safe(postgres: PostgresServer) -> None:
    embedded.create_database(postgres.url("postgres"), "migrated_at_once")
    url = postgres.url("migrated_at_once")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [url] * 4))
    migrate(url)
    database = Database(url)
    with database.engine.connect() as connection:
        newest = ScriptDirectory.from_config(configuration()).get_heads()
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == newest
    database.close()


def test_tables_of_a_newer_release_are_left_to_it(postgres: PostgresServer) -> None:
    embedded.create_database(postgres.url("postgres"), "of_a_newer_release")
    url = postgres.url("of_a_newer_release")
    assert migrate(url) is True
    database = Database(url)
    with database.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrate(url) is False
    with database.begin() as session:
        assert session.scalars(text("SELECT version_num FROM alembic_version")).all() == ["9999"]
        session.execute(text("SELECT 1 FROM jobs"))
    database.close()
