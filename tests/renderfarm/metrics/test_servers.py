"""What the farm stands on, as the exporter sees it."""

from __future__ import annotations

from pathlib import Path

import redis

from renderfarm.local.ports import free_port
from renderfarm.metrics.servers import Broker
from tests.renderfarm.metrics.page import Page
from tests.services.processes import running


def test_redis_tells_its_memory_its_messages_and_whether_it_writes_them_down(tmp_path: Path) -> None:
    port = free_port()
    page = Page(Broker(f"redis://127.0.0.1:{port}/0"))
    assert page.all() == {("renderfarm_redis_up", ()): 0}
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    command += ["--appendonly", "yes", "--maxmemory", "64mb"]
    with running(command, port=port, cwd=tmp_path), redis.Redis(port=port) as client:
        client.rpush("v4", "a", "b")
        assert (page("redis_up"), page("redis_memory_max_bytes")) == (1, 64 << 20)
        assert 1 << 19 < (page("redis_memory_used_bytes") or 0) < 64 << 20
        assert (page("redis_aof_enabled"), page("redis_aof_last_write_ok")) == (1, 1)
        assert (page("redis_messages", queue="v4"), page("redis_messages", queue="cpu")) == (2, 0)
        client.config_set("appendonly", "no")
        assert page("redis_aof_enabled") == 0
    assert page.all() == {("renderfarm_redis_up", ()): 0}


def test_the_databases_connections_are_counted_with_everybodys(page: Page) -> None:
    used, most = page("database_connections"), page("database_connections_max")
    assert used is not None and most is not None
    assert 1 <= used < most < 1000
