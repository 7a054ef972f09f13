"""The courier: sends the webhooks that are due, so many at once. Any number of couriers may run.

No receiver, and no account, may have more than its share of one courier's hands: those that answer
slowly, or never, wait for each other and for nobody else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import prometheus_client
from sqlalchemy.exc import SQLAlchemyError

from renderfarm import crash, delivery
from renderfarm.bell import WEBHOOKS, Bell
from renderfarm.db import Database
from renderfarm.delivery import Message, Outcome, Reply
from renderfarm.errors import FarmError
from renderfarm.settings import Settings
from renderfarm.signing import signed_headers
from renderfarm.storage import Storage

log = logging.getLogger(__name__)

#: Messages that go to one host at once.
_PER_HOST = 4
#: An account's share of all hands: many hosts may be one receiver's.
_PER_ACCOUNT = 0.5
#: How long what could not be recorded waits before more is claimed, in seconds.
_PAUSE = 1.0
#: The longest reason that is kept for a failure.
_REASON = 200
_DELIVERIES = prometheus_client.Counter(
    "renderfarm_webhook_deliveries_total", "Attempts at delivering webhooks, by how they ended.", ["outcome"]
)


class Client(Protocol):
    """What posts a body and tells the status of the answer; it may raise anything."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> int: ...


class Courier:
    """Sends until it is told to stop, whatever PostgreSQL and the receivers go through."""

    def __init__(self, settings: Settings, database: Database, storage: Storage, client: Client) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._client = client
        self._account_share = max(1, int(settings.webhooks_at_once * _PER_ACCOUNT))
        #: Guards what is in hand, and is told when there may be something to claim.
        self._due = threading.Condition()
        self._hosts: Counter[str] = Counter()
        self._accounts: Counter[str] = Counter()

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
            hosts = [host for host, count in self._hosts.items() if count >= _PER_HOST]
            accounts = [name for name, count in self._accounts.items() if count >= self._account_share]
            with self._database.begin() as session:
                message = delivery.claim(session, self._settings, hosts, accounts)
            if message is not None:
                self._hosts[message.host] += 1
                self._accounts[message.account_id] += 1
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
                self._hosts = +(self._hosts - Counter([message.host]))
                self._accounts = +(self._accounts - Counter([message.account_id]))
        _DELIVERIES.labels(outcome.value).inc()
        level = logging.WARNING if outcome is Outcome.GIVEN_UP else logging.INFO
        why = reply.error or reply.status
        log.log(level, "%s (%s) to %s: %s, %s", message.id, message.type, message.host, outcome.value, why)

    def _send(self, message: Message) -> Reply:
        """Post the message, and say what came of it; nothing it meets is raised."""
        began = time.monotonic()
        status, error = None, None
        try:
            body = message.body(self._storage.url)
            headers = signed_headers(message.secrets, message.id, int(time.time()), body)
            headers["content-type"] = "application/json"
            status = self._client.post(message.url, body, headers, self._settings.webhook_timeout_seconds)
        except FarmError as refused:
            error = refused.message
        except Exception as failure:  # each transport has its own errors; none may end the courier
            error = f"{type(failure).__name__}: {failure}"
        milliseconds = round(1000 * (time.monotonic() - began))
        return Reply(status, milliseconds, " ".join(error.split())[:_REASON] if error else None)
