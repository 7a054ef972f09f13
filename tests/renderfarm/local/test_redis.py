"""Our own Redis."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
import redis

from renderfarm.local.ports import free_port
from renderfarm.local.redis import Redis
from tests.services.processes import running

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


def test_it_wants_its_password_and_remembers_over_a_restart(tmp_path: Path) -> None:
    server = Redis(tmp_path / 'a "strange" place', free_port(), "secret-word")
    server.prepare()
    for seen in (None, b"kept"):
        with (
            running(server.command(), port=server.port, log=tmp_path / "log"),
            redis.Redis.from_url(server.url) as client,
        ):
            assert client.get("word") == seen
            client.set("word", "kept")
            with (
                redis.Redis(port=server.port) as stranger,
                pytest.raises(redis.AuthenticationError),
            ):
                stranger.ping()
    assert list(server.folder.glob("appendonly*"))


def test_it_never_evicts_and_shows_its_password_to_nobody(tmp_path: Path) -> None:
    server = Redis(tmp_path, free_port(), "secret-word")
    server.prepare()
    assert "secret-word" not in " ".join(server.command())
    settings = Path(server.command()[-1])
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    with (
        running(server.command(), port=server.port, log=tmp_path / "log"),
        redis.Redis.from_url(server.url, decode_responses=True) as client,
    ):
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("appendonly")["appendonly"] == "yes"
