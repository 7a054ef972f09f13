"""How gunicorn serves the ingress: ``gunicorn -c python:api.gunicorn_conf 'api:create_app()'``.

An entry point: besides the settings it reads FARM_API_BIND (host:port, 127.0.0.1:8080 by default).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from renderfarm.settings import Settings

_settings = Settings.from_env()

bind = [os.environ.get("FARM_API_BIND") or "127.0.0.1:8080"]
worker_class = "gthread"
workers = 2
#: An upload holds its thread for as long as it lasts.
threads = 16
timeout = 60
graceful_timeout = 30
keepalive = 5
loglevel = _settings.log_level.lower()
#: The heartbeat's file must not wait for a disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
# One socket in the user's home for all farms of a machine would be one too few.
control_socket_disable = True

if _settings.metrics_port:
    bind.append(f"{_settings.metrics_host}:{_settings.metrics_port}")
    # Each worker counts in files of its own there; whichever is asked adds them up.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="renderfarm-api-metrics-")


def child_exit(server: Any, worker: Any) -> None:
    """Forget what a worker that has ended was doing; what it has counted stays."""
    if _settings.metrics_port:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    """Leave nothing behind."""
    if _settings.metrics_port:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
