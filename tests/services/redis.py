"""A real Redis for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from renderfarm.local.ports import free_port
from tests.services.processes import running


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The address of a server with nothing in it."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    command += ["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", ""]
    with running(command, port=port, log=folder / "redis.log"):
        yield f"redis://127.0.0.1:{port}/0"
