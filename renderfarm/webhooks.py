"""Webhooks: who is told what becomes of a job, and the log of what was sent.

    note                  written by the transaction that changes a job's status (``jobs.py``)
    delivery.claim        a courier has one in hand, under a lease, and sends it
    delivery.record       it was delivered, waits for its next attempt, or is given up

Delivered at least once and in any order: a courier that dies between sending and recording leaves a
lease that runs out, and the same message goes out again under the same id.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from renderfarm import audit, endpoints, public, views
from renderfarm.bell import WEBHOOKS, announce
from renderfarm.db import after, new_id
from renderfarm.models import Job, JobStatus, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from renderfarm.settings import Settings

#: A job starts, if at all, and ends: of two of its events the later one has the greater number.
_STARTED, _ENDED = 1, 2


def note(session: Session, job: Job) -> None:
    """Tell whoever wants to know that the job has come to its status, once this transaction commits.

    One look at an index for a job of which nobody is told.
    """
    addresses = endpoints.told(session, job.account_id)
    if job.webhook_url:
        addresses.append((endpoints.own(session, job.account_id).id, job.webhook_url))
    if not addresses:
        return
    state = public.state_of(views.view_within(session, job.id))
    for endpoint_id, url in addresses:
        delivery = WebhookDelivery(
            id=new_id("msg"),
            account_id=job.account_id,
            job_id=job.id,
            endpoint_id=endpoint_id,
            url=url,
            host=_host(url),
            type=f"job.{job.status}",
            sequence=_STARTED if job.status == JobStatus.PROCESSING else _ENDED,
            state=state,
        )
        session.add(delivery)
    announce(session, WEBHOOKS)


def deliveries(
    session: Session, account_id: str | None = None, job_id: str | None = None, limit: int = 50
) -> list[WebhookDelivery]:
    """The log, newest first; of one account or one job, if told."""
    query = select(WebhookDelivery).order_by(WebhookDelivery.created_at.desc(), WebhookDelivery.id)
    if account_id is not None:
        query = query.where(WebhookDelivery.account_id == account_id)
    if job_id is not None:
        query = query.where(WebhookDelivery.job_id == job_id)
    return list(session.scalars(query.limit(limit)))


def attempts(session: Session, delivery_id: str) -> list[WebhookAttempt]:
    """How each attempt at a delivery ended, in their order."""
    query = select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery_id)
    return list(session.scalars(query.order_by(WebhookAttempt.attempt)))


def resend(
    session: Session,
    delivery_id: str | None = None,
    job_id: str | None = None,
    *,
    actor: str = audit.FARM,
) -> list[str]:
    """Send a delivery, or all of a job, again under the same id, with all its attempts before it.

    The ids of those; none where there is no such one, or its endpoint is disabled.
    """
    which = WebhookDelivery.job_id == job_id if job_id else WebhookDelivery.id == delivery_id
    live = select(WebhookEndpoint.id).where(WebhookEndpoint.disabled_at.is_(None))
    again = (
        update(WebhookDelivery)
        .where(which, WebhookDelivery.endpoint_id.in_(live))
        .values(next_attempt_at=func.now(), failures=0, delivered_at=None, given_up_at=None)
        .returning(WebhookDelivery.account_id, WebhookDelivery.id)
    )
    rows = session.execute(again).all()
    sent = sorted(row.id for row in rows)
    if rows:  # they are of one job at most, and so of one account
        subject = job_id or sent[0]
        audit.write(
            session, actor, "webhook.resend", account_id=rows[0].account_id, subject=subject, messages=sent
        )
        announce(session, WEBHOOKS)
    return sent


def forget(session: Session, settings: Settings, limit: int) -> int:
    """Drop what ended long ago from the log; how many, ``limit`` at most."""
    old = (
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.created_at < after(-settings.webhook_log_seconds),
            WebhookDelivery.next_attempt_at.is_(None),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    gone = delete(WebhookDelivery).where(WebhookDelivery.id.in_(old.scalar_subquery()))
    return len(session.scalars(gone.returning(WebhookDelivery.id)).all())


def _host(url: str) -> str:
    """``name:port`` of an address, whatever its case and whoever it names as user."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
    return f"{(parts.hostname or '').lower()}:{port}"
