"""The message for a unit: its id for the worker, and for whoever watches a word on what it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from renderfarm.models import Account, Job, Unit
from renderfarm.settings import Settings

#: The Celery task that a message calls, with the unit's id as its one argument.
TASK = "render.unit"


@dataclass(frozen=True, slots=True)
class About:
    """What Flower shows of a unit, and the log of whoever publishes it."""

    job_id: str
    stage: str
    index: int
    #: The one that is to come.
    attempt: int
    model: str
    account_id: str
    account: str
    request_id: str | None
    traceparent: str | None
    #: Since when it could have been admitted.
    since: datetime

    def __str__(self) -> str:
        request = f" request={self.request_id}" if self.request_id else ""
        return (
            f"job={self.job_id} stage={self.stage} unit={self.index} attempt={self.attempt}"
            f" model={self.model} account={self.account} ({self.account_id}){request}"
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A unit's id on its way to a queue."""

    unit_id: str
    queue: str
    about: About | None = None

    def context(self) -> Mapping[str, object]:
        """What the log says of it (``renderfarm.context``)."""
        if self.about is None:
            return {"unit": self.unit_id}
        ids = {"request": self.about.request_id, "account": self.about.account_id, "job": self.about.job_id}
        return {**ids, "unit": self.unit_id, "stage": self.about.stage, "attempt": self.about.attempt}


#: Sends a message to its queue; may raise anything.
Publish = Callable[[Message], None]


def messages(session: Session, units: Sequence[tuple[str, str]]) -> list[Message]:
    """The messages for units, given as id and queue, in this order."""
    if not units:
        return []
    columns = (
        Unit.id,
        Job.id,
        Unit.stage,
        Unit.index,
        Unit.attempt + 1,
        Job.model,
        Account.id,
        Account.name,
        Job.request_id,
        Job.traceparent,
        func.greatest(Unit.created_at, Unit.not_before),
    )
    found = select(*columns).join(Job, Job.id == Unit.job_id).join(Account, Account.id == Job.account_id)
    rows = session.execute(found.where(Unit.id.in_([unit_id for unit_id, _ in units])))
    about = {row[0]: About(*row[1:]) for row in rows}
    return [Message(unit_id, queue, about.get(unit_id)) for unit_id, queue in units]


def celery_publisher(settings: Settings) -> Publish:
    """Publishes through Celery, as a bare producer: no result backend, no task code.

    It raises when the broker does not answer; when to try again is the dispatcher's to say. The worker reads
    nothing but the id: the rest is for Flower, whose name of a task is its stage.
    """
    from celery import Celery

    app = Celery("renderfarm", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            # Without these kombu waits for the broker itself, without end.
            "max_retries": 0,
            "interval_start": 0,
        },
    )

    def publish(message: Message) -> None:
        shown = {"shadow": message.about.stage, "argsrepr": str(message.about)} if message.about else {}
        app.send_task(
            TASK, args=[message.unit_id], queue=message.queue, ignore_result=True, retry=False, **shown
        )

    return publish
