"""The Celery app: how messages are taken from Redis. A message is a hint; the rows decide."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from renderfarm.settings import Settings
from workers import tasks
from workers.runner import Runner

#: After this many seconds Redis gives an unacknowledged message to the next worker, which finds the
#: unit taken and drops it. It only bounds how long messages of killed workers lie about.
VISIBILITY_SECONDS = 600
#: A Redis that does not answer for so long is taken for gone.
_SOCKET_SECONDS = 15


def create_app(
    settings: Settings, queue: str | None = None, runner: Callable[[], Runner] | None = None
) -> Celery:
    """The app of a worker of one queue; without a queue, of a process that only watches (Flower)."""
    app = Celery("renderfarm", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
        # Results are rows. A result backend on the same Redis lost tasks when Redis was restarted.
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
        # One unit at a time, acknowledged when it has ended.
        worker_pool="prefork",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        task_acks_late=True,
        task_reject_on_worker_lost=False,  # the lease brings the unit back, and counts it
        worker_max_tasks_per_child=None,
        worker_proc_alive_timeout=120,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # Flower.
        worker_send_task_events=True,
        task_send_sent_event=False,
        # A lost broker: keep at it, and let the unit in hand go on, whose lease is in the database.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=5,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_prefetch_count_reduction=False,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "socket_timeout": _SOCKET_SECONDS,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        # A second signal stops what has not been handed over by then.
        worker_soft_shutdown_timeout=settings.drain_seconds,
    )
    if queue is not None:
        app.conf.task_default_queue = queue
    if runner is not None:
        tasks.register(app, runner)
    return app
