"""What works on a farm's rows besides its runners: a dispatcher, and processes with the same settings."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from renderfarm.dispatch import Dispatcher
from renderfarm.messages import celery_publisher
from renderfarm.settings import Settings, variable_of
from tests.workers.farm import Farm


@contextmanager
def dispatching(farm: Farm) -> Iterator[None]:
    """A real dispatcher, in a thread."""
    stop = threading.Event()
    publish = celery_publisher(farm.settings)
    dispatcher = Dispatcher(farm.settings, farm.database, publish, farm.store)
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def environment(settings: Settings) -> dict[str, str]:
    """What a process needs to find the same settings."""
    names = ("database_url", "redis_url", "storage_url", "work_dir", "metrics_port", "drain_seconds")
    names += ("log_format", "otlp_endpoint")
    names += ("lease_seconds", "heartbeat_seconds", "sweep_seconds", "republish_seconds", "retry_seconds")
    return {**os.environ, **{variable_of(name): str(getattr(settings, name)) for name in names}}
