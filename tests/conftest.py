"""What every test may ask for: a real PostgreSQL, a real Redis, a clean environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from renderfarm import context
from renderfarm.db import Database
from renderfarm.settings import Settings
from tests.services.debian import Unavailable
from tests.services.postgres import PostgresServer, postgres_server
from tests.services.redis import redis_server
from tests.services.s3 import S3Server, s3_server

#: Real clips and pictures, where they lie beside the checkout; tests that want them skip elsewhere.
REAL_MEDIA = Path(__file__).resolve().parents[2] / "shared" / "data"


_WITH_S3 = (
    "test_storage.py",
    "test_s3.py",
    "deploy/test_cdn.py",
    "test_purge.py",
    "test_bucket.py",
    "test_parts.py",
)


class FilesTogether(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Where tests run side by side, a file stays together, and so do all that share one slow server."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith("tests/e2e/"):
            return "the whole farm"
        return "s3" if file.endswith(_WITH_S3) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first, so that nobody waits for them at the end."""
    items.sort(key=lambda item: item.path.parent.name != "e2e")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the farm settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("FARM_") or name in {"DATABASE_URL", "REDIS_URL", "ENGINE_V3", "ENGINE_V4"}:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def nothing_begun() -> Iterator[None]:
    """No test is about what another one has left unfinished: an answer that nobody read to its end."""
    token = context.begin()
    yield
    context.end(token)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        server.make_template()
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    """A fresh, migrated database."""
    with postgres.lent_database() as url:
        database = Database(url)
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
