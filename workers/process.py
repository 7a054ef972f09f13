"""One worker: Celery's main process, the child that runs units, and what they need from us.

The main process takes messages, reports that it is there and shows the metrics; it loads nothing
heavy. Its one child works on units, and the child's own child draws. SIGTERM and Ctrl-C reach the
main process alone, which asks the child to hand over; whichever of them is killed, those below it
die too.
"""

from __future__ import annotations

import logging
import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery, signals
from celery.apps import worker as celery_worker
from celery.exceptions import SecurityWarning
from celery.worker import state

from pipeline.spec import PERCEPTION_VERSION, PLAN_VERSION, Model
from renderfarm import moderation, stages, tracing
from renderfarm.claims import WorkerIdentity
from renderfarm.db import Database
from renderfarm.metrics.shared import SharedFolder
from renderfarm.settings import Settings
from renderfarm.storage import open_storage
from workers import metrics
from workers.app import create_app
from workers.attempt import Tools
from workers.board import Board
from workers.drawing import Drawing
from workers.folder import WorkerFolder
from workers.presence import Ear, Presence
from workers.runner import Runner

log = logging.getLogger(__name__)

#: The models whose engines a queue's workers have; what needs no model takes what any engine made.
QUEUES: Mapping[str, tuple[Model, ...]] = {
    **{queue: (model,) for model, queue in stages.QUEUES.items()},
    **dict.fromkeys(stages.MODELLESS.values(), tuple(Model)),
}


def identity(settings: Settings, queue: str, name: str) -> WorkerIdentity:
    """Who this worker is, and the versions it can run."""
    engines = [str(settings.engine_of(model)) for model in QUEUES[queue]]
    versions = {"engines": engines, "perception": PERCEPTION_VERSION, "plan": PLAN_VERSION}
    return WorkerIdentity(name=f"{platform.node()}:{name}", queue=queue, versions=versions)


class WorkerProcess:
    """Runs a worker of one queue until a signal ends it."""

    def __init__(self, settings: Settings, queue: str, folder: WorkerFolder, command: Sequence[str]) -> None:
        self._settings = settings
        self._queue = queue
        self._folder = folder
        self._command = command
        self._board = Board()
        self._worker = identity(settings, queue, folder.name)
        self._presence: Presence | None = None
        self._runner: Runner | None = None
        self._main = os.getpid()

    def run(self) -> int:
        """Start, consume, and return the exit status."""
        # Celery's reason to warn of root is pickle, and the app takes nothing but JSON.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        if self._queue == stages.FETCH and self._settings.moderation:
            moderation.load(self._settings.moderation)  # that it is not there is told now, not by jobs
        self._connect()
        try:
            if port := self._settings.metrics_port:
                metrics.show(self._settings.metrics_host, port, self._queue, self._folder.metrics)
            worker = self._celery_worker(create_app(self._settings, self._queue, self._current_runner))
            worker.start()
            return int(worker.exitcode or 0)
        finally:
            if os.getpid() == self._main:
                self._folder.close()

    def _celery_worker(self, app: Celery) -> Any:
        return app.Worker(
            hostname=f"{self._folder.name}@{platform.node()}",
            queues=[self._queue],
            loglevel=self._settings.log_level.upper(),
            without_gossip=True,
            without_mingle=True,
            task_events=True,
            quiet=True,
        )

    def _connect(self) -> None:
        """Take part in the life of Celery's processes."""
        # It would print how it stops, past every log.
        celery_worker.safe_say = lambda *_: None
        signals.setup_logging.connect(_leave_logging_alone, weak=False)
        signals.worker_process_init.connect(self._on_child_start, weak=False)
        signals.worker_process_shutdown.connect(self._on_child_end, weak=False)
        signals.worker_ready.connect(self._on_ready, weak=False)
        signals.worker_shutting_down.connect(self._on_stopping, weak=False)
        signals.worker_shutdown.connect(self._on_stopped, weak=False)

    def _current_runner(self) -> Runner:
        assert self._runner is not None, "units run in the child alone"
        return self._runner

    def _on_child_start(self, **_: object) -> None:
        settings = self._settings
        tracing.start(settings, self._queue)
        self._folder.clear()
        self._board.unit_id = None
        counted = SharedFolder(self._folder.metrics)
        counted.fold(counted.pids() - {os.getpid(), self._main})  # of the child before this one
        tools = Tools(
            settings=settings,
            database=Database(settings.database_url),
            storage=open_storage(settings),
            drawing=Drawing(self._command),
            draining=lambda: self._board.draining,
        )
        self._runner = Runner(self._worker, self._folder, self._board, tools)
        self._runner.warm()

    def _on_child_end(self, **_: object) -> None:
        if self._runner is not None:
            self._runner.close()
        tracing.stop()

    def _on_ready(self, **_: object) -> None:
        busy = lambda: bool(state.reserved_requests or state.active_requests)  # noqa: E731
        ear = Ear(self._settings.redis_url, self._queue, busy)
        self._presence = Presence(self._settings, self._worker, self._folder, self._board, ear)
        self._presence.start()
        log.info("ready: queue %s, %s", self._queue, ", ".join(self._worker.versions["engines"]))

    def _on_stopping(self, **_: object) -> None:
        self._board.drain()

    def _on_stopped(self, **_: object) -> None:
        if self._presence is not None:
            self._presence.stop()
        log.info("stopped")


def _leave_logging_alone(**_: object) -> None:
    """Celery sets up no logging where somebody else listens to this signal."""
