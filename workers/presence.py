"""What a worker's main process tells the farm: that it is there, and that it consumes."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import redis
from sqlalchemy.exc import SQLAlchemyError

from renderfarm import pools
from renderfarm.claims import WorkerIdentity
from renderfarm.db import Database
from renderfarm.settings import Settings
from workers.board import Board
from workers.folder import WorkerFolder

log = logging.getLogger(__name__)

#: Well below the lease, after which a silent worker counts as gone.
EVERY_SECONDS = 2.0
#: A worker that is idle while the same message has been next for so long does not consume.
DEAF_SECONDS = 15.0


class Ear:
    """Knows whether this worker still consumes.

    After a restart of Redis a worker may answer every ping and yet never take a message again
    (Celery issues 8030, 8091): it is idle, while the message at the head of its queue stays there.
    """

    def __init__(self, redis_url: str, queue: str, busy: Callable[[], bool]) -> None:
        self._redis = redis.Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._queue = queue
        self._busy = busy
        self._head: object = None
        self._since = time.monotonic()

    def is_deaf(self) -> bool:
        """Whether a message has been waiting for an idle worker for too long."""
        head = None
        with suppress(redis.RedisError):  # an absent Redis says nothing about this worker
            head = None if self._busy() else self._redis.lindex(self._queue, -1)
        if head is None or head != self._head:
            self._head, self._since = head, time.monotonic()
        return time.monotonic() - self._since > DEAF_SECONDS if head is not None else False

    def close(self) -> None:
        self._redis.close()


class Presence:
    """Reports the worker every few seconds, in a thread of the main process, busy or idle."""

    def __init__(
        self, settings: Settings, worker: WorkerIdentity, folder: WorkerFolder, board: Board, ear: Ear
    ) -> None:
        self._database = Database(settings.database_url, pool_size=1)
        self._worker = worker
        self._folder = folder
        self._board = board
        self._ear = ear
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye: nothing is admitted for this worker any more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        with suppress(SQLAlchemyError), self._database.begin() as session:
            pools.forget_worker(session, self._worker.name)
        self._database.close()
        self._ear.close()

    def _run(self) -> None:
        complained = False
        while True:
            try:
                with self._database.begin() as session:
                    pools.report_worker(session, self._worker, self._board.unit_id)
                complained = False
            except SQLAlchemyError as error:
                if not complained:
                    log.warning("not reported: %s", str(error).partition("\n")[0])
                complained = True
            if self._ear.is_deaf():
                log.error("messages wait and none arrives: stopping, to be started anew")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self._folder.pulse()
            if self._ended.wait(EVERY_SECONDS):
                return
