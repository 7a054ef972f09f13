"""What a farm on one machine was started with: ports and addresses, kept in ``.farm/state.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from renderfarm.local.home import Home
from renderfarm.local.ports import free_port
from renderfarm.local.redis import Redis

#: Where people look first. All other ports are any that are free.
API_PORT, FLOWER_PORT = 8080, 5555
#: Each of these shows its metrics on a port of its own, and so does each worker.
MEASURED = ("api", "dispatcher", "courier", "exporter")
#: Workers of each queue, unless more are asked for. Two of a model's serve fast jobs.
WORKERS: Mapping[str, int] = {"v3": 1, "v4": 1, "cpu": 1, "fetch": 1}
_SERVICES = ("postgres", "redis", "supervisor")


@dataclass(frozen=True, slots=True)
class State:
    """One farm's ports and addresses."""

    #: By name: api, flower, postgres, redis, supervisor, and metrics-... of each measured process.
    ports: Mapping[str, int]
    database_url: str
    redis_url: str
    storage_url: str
    #: Whether PostgreSQL and Redis are ours to run.
    own_postgres: bool
    own_redis: bool
    #: How many workers each queue has.
    workers: Mapping[str, int]

    @property
    def worker_names(self) -> dict[str, str]:
        """The queue of each worker by the worker's name: ``worker-v4``, ``worker-v4-2``, ..."""
        return {
            f"worker-{queue}" + (f"-{number}" if number > 1 else ""): queue
            for queue, workers in self.workers.items()
            for number in range(1, workers + 1)
        }

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['flower']}"

    def save(self, path: Path) -> None:
        """Write it for the commands that come later."""
        Home(path.parent).write(path, json.dumps(asdict(self), indent=2))

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """What was saved; None where nothing usable is."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def choose(
    home: Home, environ: Mapping[str, str], port: int = 0, workers: Mapping[str, int] = WORKERS
) -> State:
    """Decide where everything of this start will listen.

    ``port`` is the API's, if it is asked for. Services keep the ports of the last start while those are free.
    ``DATABASE_URL``, ``REDIS_URL`` and ``FARM_STORAGE_URL`` are taken as they are.
    """
    before = State.load(home.state)
    last = before.ports if before else {}
    ports: dict[str, int] = {}

    def take(name: str, preferred: int) -> None:
        ports[name] = free_port(preferred, set(ports.values()))

    take("api", port or API_PORT)
    take("flower", FLOWER_PORT)
    for name in _SERVICES:
        take(name, last.get(name, 0))
    own_redis = Redis(home.root / "redis", ports["redis"], home.secret("redis.password"))
    state = State(
        ports=ports,
        database_url=environ.get("DATABASE_URL", ""),  # our own one's is known once it is prepared
        redis_url=environ.get("REDIS_URL") or own_redis.url,
        storage_url=environ.get("FARM_STORAGE_URL") or f"file://{quote(str(home.store))}",
        own_postgres=not environ.get("DATABASE_URL"),
        own_redis=not environ.get("REDIS_URL"),
        workers={**WORKERS, **workers},
    )
    for name in (*MEASURED, *state.worker_names):
        take(f"metrics-{name}", last.get(f"metrics-{name}", 0))
    return state
