"""One webhook on its way: claimed under a lease, sent, and written down how that went."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ARRAY, Text, bindparam, func, select, text
from sqlalchemy.orm import Session

from renderfarm import endpoints, public
from renderfarm.cdn import Link
from renderfarm.db import after
from renderfarm.models import WebhookAttempt, WebhookDelivery
from renderfarm.settings import Settings

#: Seconds between one attempt and the next, before jitter: a day in all.
WAITS = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800)
#: By how much each wait is made shorter or longer, so that what failed together does not return together.
_JITTER = 0.2
#: By how much more a receiver that asks for time can have us wait, in seconds.
_MOST_MORE = 3600.0
#: What a receiver answers that is there no more.
_GONE = 410

_CLAIM = text(
    """
    UPDATE webhook_deliveries d
    SET attempt = d.attempt + 1, next_attempt_at = now() + :lease * interval '1 second'
    FROM (
        SELECT id FROM webhook_deliveries
        WHERE next_attempt_at <= now() AND host <> ALL(:hosts) AND account_id <> ALL(:accounts)
            AND account_id || ' ' || host <> ALL(:pairs)
        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ) due, webhook_endpoints e
    WHERE d.id = due.id AND e.id = d.endpoint_id
    RETURNING d.id, d.attempt, d.account_id, d.url, d.host, d.type, d.sequence, d.state, d.created_at,
        CASE WHEN e.previous_until > now() THEN ARRAY[e.secret, e.previous_secret]
            ELSE ARRAY[e.secret] END AS secrets
    """
).bindparams(*(bindparam(name, type_=ARRAY(Text)) for name in ("hosts", "accounts", "pairs")))


class Outcome(StrEnum):
    """How an attempt at a delivery ended."""

    DELIVERED = "delivered"
    RETRY = "retry"  # not taken; it is sent again
    GIVEN_UP = "given_up"  # not taken, for the last time
    STALE = "stale"  # another courier has it, or it was removed: nothing was changed


@dataclass(frozen=True, slots=True)
class Message:
    """A delivery that a courier has in hand."""

    id: str
    attempt: int
    account_id: str
    url: str
    host: str
    type: str
    sequence: int
    state: dict[str, Any]
    created_at: datetime
    #: Each of them signs it; the newest first.
    secrets: Sequence[str]

    def body(self, link: Callable[[str], Link]) -> bytes:
        """What is sent: the event and the job as it was then, with addresses made now by ``link``."""
        data = {**public.addressed(self.state, link), "sequence": self.sequence}
        whole = {"type": self.type, "timestamp": public.moment(self.created_at), "data": data}
        return json.dumps(whole, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Full:
    """Whose messages are passed over."""

    hosts: Sequence[str] = ()
    accounts: Sequence[str] = ()
    #: An account, and the host to which nothing more of it goes.
    pairs: Sequence[tuple[str, str]] = ()


_NOBODY = Full()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a status, or the reason for there being none."""

    status: int | None
    milliseconds: int
    error: str | None = None
    #: When the receiver wants to be asked again, in seconds.
    retry_after: float | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def claim(session: Session, settings: Settings, full: Full = _NOBODY) -> Message | None:
    """Take the delivery that has been due for longest and is not passed over; None without one."""
    over = {
        "hosts": list(full.hosts),
        "accounts": list(full.accounts),
        "pairs": list(map(" ".join, full.pairs)),
    }
    row = session.execute(_CLAIM, {"lease": settings.webhook_lease_seconds, **over}).one_or_none()
    return None if row is None else Message(**row._mapping)


def record(session: Session, settings: Settings, message: Message, reply: Reply) -> Outcome:
    """Write down how the attempt ended, and when the next one is, if there is to be one."""
    delivery = session.scalar(
        select(WebhookDelivery)
        .where(WebhookDelivery.id == message.id, WebhookDelivery.attempt == message.attempt)
        .with_for_update()
    )
    if delivery is None or delivery.next_attempt_at is None:
        return Outcome.STALE
    session.add(
        WebhookAttempt(
            delivery_id=message.id,
            attempt=message.attempt,
            status=reply.status,
            milliseconds=reply.milliseconds,
            error=reply.error,
        )
    )
    delivery.last_status, delivery.last_error = reply.status, reply.error
    if reply.taken:
        _end(delivery, "delivered_at")
        return Outcome.DELIVERED
    delivery.failures += 1
    if reply.status == _GONE:
        endpoints.disable(session, delivery.endpoint_id)
    if reply.status == _GONE or delivery.failures > len(WAITS):
        _end(delivery, "given_up_at")
        return Outcome.GIVEN_UP
    wait = _wait(settings, delivery.failures, reply.retry_after)
    delivery.next_attempt_at = after(wait)
    return Outcome.RETRY


def _wait(settings: Settings, failures: int, asked: float | None) -> float:
    wait = WAITS[failures - 1] * settings.webhook_patience * random.uniform(1 - _JITTER, 1 + _JITTER)
    return min(max(wait, asked or 0.0), wait + _MOST_MORE)


def _end(delivery: WebhookDelivery, how: str) -> None:
    delivery.next_attempt_at = None
    setattr(delivery, how, func.now())
