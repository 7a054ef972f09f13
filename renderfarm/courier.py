"""The courier: sends the webhooks that are due, so many at once. Any number of couriers may run.

No receiver, and no account, may have more than its share of one courier's hands: those that answer
slowly, or never, wait for each other and for nobody else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Protocol

import prometheus_client
from sqlalchemy.exc import SQLAlchemyError

from renderfarm import crash, delivery
from renderfarm.bell import WEBHOOKS, Bell
from renderfarm.db import Database
from renderfarm.delivery import Message, Outcome, Reply
from renderfarm.errors import FarmError
from renderfarm.fetch import Posted
from renderfarm.hands import Hands
from renderfarm.settings import Settings
from renderfarm.signing import signed_headers
from renderfarm.storage import Storage

log = logging.getLogger(__name__)

#: How long what could not be recorded waits before more is claimed, in seconds.
_PAUSE = 1.0
#: The longest reason that is kept for a failure.
_REASON = 200
_DELIVERIES = prometheus_client.Counter(
    "renderfarm_webhook_deliveries_total", "Attempts at delivering webhooks, by how they ended.", ["outcome"]
)


class Client(Protocol):
    """What posts a body and tells what was answered; it may raise anything."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Posted: ...


class Courier:
    """Sends until it is told to stop, whatever PostgreSQL and the receivers go through."""

    def __init__(self, settings: Settings, database: Database, storage: Storage, client: Client) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._client = client
        #: Guards what is in hand, and is told when there may be something to claim.
        self._due = threading.Condition()
        self._hands = Hands(settings.webhooks_at_once)

    def run(self, stop: threading.Event) -> None:
        """Send what is due at every notice and every ``sweep_seconds``; what is in hand is finished."""
        hands = [
            threading.Thread(target=self._work, args=(stop,), name=f"hand-{number}")
            for number in range(self._settings.webhooks_at_once)
        ]
        for hand in hands:
            hand.start()
        bell = Bell(self._database.url, WEBHOOKS)
        try:
            while not stop.is_set():
                with self._due:
                    self._due.notify()
                bell.wait(self._settings.sweep_seconds, stop)
        finally:
            stop.set()
            with self._due:
                self._due.notify_all()
            bell.close()
            for hand in hands:
                hand.join()

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                message = self._next(stop)
                if message is not None:
                    self._deliver(message)
            except SQLAlchemyError as error:
                log.warning("webhooks have to wait: %s", str(error).splitlines()[0])
                stop.wait(_PAUSE)

    def _next(self, stop: threading.Event) -> Message | None:
        """The next message that is due and that one hand more may have; wakes another hand for the rest.

        None after a wait in which there may have come one.
        """
        with self._due:
            with self._database.begin() as session:
                message = delivery.claim(session, self._settings, self._hands.full())
            if message is not None:
                self._hands.take(message)
                self._due.notify()
            elif not stop.is_set():
                self._due.wait()
        return message

    def _deliver(self, message: Message) -> None:
        try:
            reply = self._send(message)
            if reply.taken:
                crash.here(self._settings, crash.Point.DELIVERED)
            with self._database.begin() as session:
                outcome = delivery.record(session, self._settings, message, reply)
        finally:
            with self._due:
                self._hands.let_go(message)
        _DELIVERIES.labels(outcome.value).inc()
        level = logging.WARNING if outcome is Outcome.GIVEN_UP else logging.INFO
        why = reply.error or reply.status
        log.log(level, "%s (%s) to %s: %s, %s", message.id, message.type, message.host, outcome.value, why)

    def _send(self, message: Message) -> Reply:
        """Post the message, and say what came of it; nothing it meets is raised."""
        began = time.monotonic()
        answer, error = None, None
        try:
            body = message.body(self._storage.link)
            headers = signed_headers(message.secrets, message.id, int(time.time()), body)
            headers["content-type"] = "application/json"
            answer = self._client.post(message.url, body, headers, self._settings.webhook_timeout_seconds)
        except FarmError as refused:
            error = refused.message
        except Exception as failure:  # each transport has its own errors; none may end the courier
            error = f"{type(failure).__name__}: {failure}"
        milliseconds = round(1000 * (time.monotonic() - began))
        if answer is not None:
            return Reply(answer.status, milliseconds, retry_after=answer.retry_after)
        return Reply(None, milliseconds, " ".join(error.split())[:_REASON] if error else None)
