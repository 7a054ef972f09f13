"""What runs on one machine: the services, the farm's own processes, and what each is told."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from renderfarm.local.home import Home
from renderfarm.local.postgres import Postgres
from renderfarm.local.processes import MARK
from renderfarm.local.redis import Redis
from renderfarm.local.state import State
from renderfarm.local.supervisor import Program
from renderfarm.settings import Settings, variable_of

#: The groups that start once the database is migrated.
FARM_GROUPS = ("flower", "workers", "dispatch", "api")
#: What no hurry may kill: they would have to recover at the next start.
SERVICES = ("postgres", "redis")
#: Seconds in which a worker hands over what it has in hand, with room to spare.
_WORKER_GRACE = 45
#: Seconds in which a courier hears what becomes of the webhooks in its hands.
_COURIER_GRACE = 20
#: All that is taken over from whoever calls ``farm up``, besides the settings.
_INHERITED = (
    *("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    *("CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"),
)


def environment(home: Home, state: State, caller: Mapping[str, str]) -> dict[str, str]:
    """What every process gets: this farm's addresses, the caller's settings, and little else."""
    settings = [variable_of(field.name) for field in fields(Settings)]
    taken = {name: caller[name] for name in (*_INHERITED, *settings) if caller.get(name)}
    own_bin = str(Path(sys.executable).parent)
    return {
        "FARM_PUBLIC_URL": state.api_url,
        "FARM_WORK_DIR": str(home.work),
        **taken,
        "PATH": f"{own_bin}:{caller.get('PATH', '/usr/bin:/bin')}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # the farm's folder, where they run, holds no modules
        "DATABASE_URL": state.database_url,
        "REDIS_URL": state.redis_url,
        "FARM_STORAGE_URL": state.storage_url,
        MARK: home.stack_id,
    }


def programs(home: Home, state: State, postgres: Postgres | None) -> list[Program]:
    """Every process of the farm; ``postgres`` is ours, if we run it."""
    ports = state.ports
    found: list[Program] = []
    if postgres is not None:
        found.append(
            Program(
                name="postgres",
                command=tuple(postgres.command(ports["postgres"])),
                group="postgres",
                place=10,
                user=postgres.user,
                stop_signal="INT",  # SIGTERM would wait for clients to leave
                grace=30,
                first=True,
            )
        )
    if state.own_redis:
        redis = Redis(home.root / "redis", ports["redis"], home.secret("redis.password"))
        redis.prepare()
        found.append(
            Program(name="redis", command=tuple(redis.command()), group="redis", place=20, first=True)
        )
    return [*found, *_farm(home, state)]


def _farm(home: Home, state: State) -> list[Program]:
    ports = state.ports
    python = Path(sys.executable).name

    def measured(name: str) -> dict[str, str]:
        # By that name PostgreSQL shows the process's connections; libpq reads it by itself.
        return {"PGAPPNAME": name, "FARM_METRICS_PORT": str(ports[f"metrics-{name}"])}

    flower = Program(
        name="flower",
        command=(python, "-m", "workers", "flower", f"--port={ports['flower']}"),
        group="flower",
        place=30,
        environ={"FLOWER_BASIC_AUTH": f"farm:{home.secret('flower.password')}"},
    )
    workers = [
        Program(
            name=name,
            command=(python, "-m", "workers", "run", queue),
            group="workers",
            place=40,
            environ=measured(name),
            grace=_WORKER_GRACE,
        )
        for name, queue in state.worker_names.items()
    ]
    dispatch = [
        Program(
            name=name,
            command=(python, "-m", "renderfarm.cli", name),
            group="dispatch",
            place=50,
            environ=measured(name),
            grace=_COURIER_GRACE,
        )
        for name in ("dispatcher", "courier", "exporter")
    ]
    api = Program(
        name="api",
        command=(python, "-m", "gunicorn", "-c", "python:api.gunicorn_conf", "api:create_app()"),
        group="api",
        place=60,
        environ={"FARM_API_BIND": f"127.0.0.1:{ports['api']}", **measured("api")},
        grace=30,
    )
    return [flower, *workers, *dispatch, api]
