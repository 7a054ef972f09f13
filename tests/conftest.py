"""What every test may ask for: a real PostgreSQL, a real Redis, a clean environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from renderfarm.db import Database
from renderfarm.settings import Settings
from tests.services.postgres import PostgresServer, postgres_server
from tests.services.redis import redis_server
from tests.services.s3 import S3Server, Unavailable, s3_server

#: Real clips and pictures, where they lie beside the checkout; tests that want them skip elsewhere.
REAL_MEDIA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run side by side, a file stays together, and so do all that share the one whole farm.

    The longest come first, so that nobody waits for them at the end.
    """
    for item in items:
        whole_farm = item.path.parent.name == "e2e"
        item.add_marker(pytest.mark.xdist_group("e2e" if whole_farm else str(item.path)))
    items.sort(key=lambda item: item.path.parent.name != "e2e")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the farm settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("FARM_") or name in {"DATABASE_URL", "REDIS_URL"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        server.make_template()
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    """A fresh, migrated database."""
    database = Database(postgres.fresh_database())
    yield database
    database.close()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    try:
        with s3_server(tmp_path_factory.mktemp("s3")) as server:
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """Settings for one test: its own database, store and scratch folder."""
    return Settings(
        database_url=database.url,
        storage_url=f"file://{tmp_path / 'store'}",
        work_dir=tmp_path / "work",
    )


@pytest.fixture(scope="session")
def real_media() -> Path:
    if not REAL_MEDIA.is_dir():
        pytest.skip("the real clips are not beside this checkout")
    return REAL_MEDIA
