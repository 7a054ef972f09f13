"""The embedded PostgreSQL: its password, its place, and binaries that its user cannot reach."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from renderfarm.local import postgres
from renderfarm.local.ports import free_port
from tests.services.processes import running


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A farm's folder, which only we may pass when we are root."""
    yield tmp_path
    shutil.rmtree(postgres.data_folder(tmp_path), ignore_errors=True)


def _ask(cluster: postgres.Postgres, port: int, question: str) -> object:
    with psycopg.connect(cluster.url(port, "postgres")) as connection:
        row = connection.execute(question).fetchone()  # type: ignore[call-overload]
    return row[0] if row else None


def _serve(cluster: postgres.Postgres, port: int, log: Path) -> None:
    """What is asked of every cluster: it answers to its password and to nothing else."""
    with running(cluster.command(port), port=port, cwd=Path("/"), user=cluster.user, log=log):
        postgres.wait_ready(cluster.url(port, "postgres"), 30)
        assert _ask(cluster, port, "SELECT 1 + 1") == 2
        wrong = f"postgresql://farm:wrong@127.0.0.1:{port}/postgres"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)


def test_a_second_preparation_finds_the_same_cluster(folder: Path) -> None:
    first = postgres.prepare(folder)
    made = (first.data / "PG_VERSION").stat().st_mtime_ns
    assert postgres.prepare(folder) == first
    assert (first.data / "PG_VERSION").stat().st_mtime_ns == made
    _serve(first, free_port(), folder / "log")


def test_a_preparation_that_died_half_way_is_made_again(folder: Path) -> None:
    data = postgres.prepare(folder).data
    (folder / "postgres.password").unlink()
    again = postgres.prepare(folder)
    assert again.data == data
    _serve(again, free_port(), folder / "log")


def test_the_password_is_for_our_eyes_only(folder: Path) -> None:
    postgres.prepare(folder)
    assert stat.S_IMODE((folder / "postgres.password").stat().st_mode) == 0o600
    assert not postgres.data_folder(folder).with_suffix(".initdb").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that PostgreSQL's user may not pass")
def test_root_may_keep_the_environment_in_a_folder_that_nobody_may_pass(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "site-packages"
    source = postgres._binaries()
    if source.parents[1].name != "pgserver":
        pytest.skip("this machine's PostgreSQL is the system's, which everybody can reach")
    for name in ("pgserver/pginstall", "pgserver.libs"):
        shutil.copytree(source.parents[2] / name, packages / name, symlinks=True)
    shelter = Path("/var/lib/renderfarm-test")
    monkeypatch.setattr(postgres, "_SHELTER", shelter)
    monkeypatch.setattr(postgres, "_binaries", lambda: packages / "pgserver" / "pginstall" / "bin")
    before = os.umask(0o077)
    try:
        cluster = postgres.prepare(folder)
        assert cluster.bin.is_relative_to(shelter)
        assert cluster.data.is_relative_to(shelter)
        _serve(cluster, free_port(), folder / "log")
    finally:
        os.umask(before)
        shutil.rmtree(shelter)
