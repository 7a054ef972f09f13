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
#: Each of these shows its metrics on a port of its own.
MEASURED = ("api", "dispatcher", "exporter", "worker-v3", "worker-v4", "worker-cpu")
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


def choose(home: Home, environ: Mapping[str, str], port: int = 0) -> State:
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
    for name in (*_SERVICES, *(f"metrics-{one}" for one in MEASURED)):
        take(name, last.get(name, 0))
    own_redis = Redis(home.root / "redis", ports["redis"], home.secret("redis.password"))
    return State(
        ports=ports,
        database_url=environ.get("DATABASE_URL", ""),  # our own one's is known once it is prepared
        redis_url=environ.get("REDIS_URL") or own_redis.url,
        storage_url=environ.get("FARM_STORAGE_URL") or f"file://{quote(str(home.store))}",
        own_postgres=not environ.get("DATABASE_URL"),
        own_redis=not environ.get("REDIS_URL"),
    )
