"""Where an account's webhooks go, and the secrets that sign them. The only place that makes either."""

from __future__ import annotations

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from renderfarm import audit
from renderfarm.db import after, new_id
from renderfarm.models import WebhookDelivery, WebhookEndpoint
from renderfarm.settings import Settings
from renderfarm.signing import new_secret


def add(session: Session, account_id: str, url: str, *, actor: str = audit.FARM) -> WebhookEndpoint:
    """Tell this address of the account's jobs from now on; the one there is, where there is one."""
    row = insert(WebhookEndpoint).values(
        id=new_id("whe"), account_id=account_id, url=url, secret=new_secret()
    )
    again = row.on_conflict_do_update(index_elements=["account_id", "url"], set_={"disabled_at": None})
    found = session.scalars(again.returning(WebhookEndpoint), execution_options={"populate_existing": True})
    made = found.one()
    if url:  # which is not written down: many an address lets in whoever knows it
        audit.write(session, actor, "webhook.add", account_id=account_id, subject=made.id)
    return made


def own(session: Session, account_id: str) -> WebhookEndpoint:
    """What signs for the addresses that the account's jobs bring along; made when it is first needed."""
    query = select(WebhookEndpoint).where(WebhookEndpoint.account_id == account_id)
    return session.scalar(query.where(WebhookEndpoint.url == "")) or add(session, account_id, "")


def told(session: Session, account_id: str) -> list[tuple[str, str]]:
    """The id and the address of each endpoint that is told of the account's jobs."""
    wanted = WebhookEndpoint.account_id == account_id, WebhookEndpoint.disabled_at.is_(None)
    rows = session.execute(select(WebhookEndpoint.id, WebhookEndpoint.url).where(*wanted))
    return [(row.id, row.url) for row in rows if row.url]


def all_of(session: Session, account_id: str) -> list[WebhookEndpoint]:
    """The account's endpoints, the oldest first."""
    query = select(WebhookEndpoint).where(WebhookEndpoint.account_id == account_id)
    return list(session.scalars(query.order_by(WebhookEndpoint.created_at, WebhookEndpoint.id)))


def remove(session: Session, endpoint_id: str, *, actor: str = audit.FARM) -> bool:
    """Forget an endpoint, what is on its way there, and its log; False when there is none of that id."""
    gone = delete(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.url != "")
    owner = session.scalar(gone.returning(WebhookEndpoint.account_id))
    if owner is None:
        return False
    audit.write(session, actor, "webhook.remove", account_id=owner, subject=endpoint_id)
    return True


def rotate(
    session: Session, settings: Settings, endpoint_id: str, *, actor: str = audit.FARM
) -> WebhookEndpoint | None:
    """Give it a new secret; the old one signs beside it for ``webhook_rotation_seconds``."""
    changed = (
        update(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id)
        .values(
            previous_secret=WebhookEndpoint.secret,
            previous_until=after(settings.webhook_rotation_seconds),
            secret=new_secret(),
        )
        .returning(WebhookEndpoint)
        .execution_options(populate_existing=True)
    )
    endpoint = session.scalar(changed)
    if endpoint is not None:
        audit.write(session, actor, "webhook.rotate", account_id=endpoint.account_id, subject=endpoint_id)
    return endpoint


def disable(session: Session, endpoint_id: str) -> None:
    """Send nothing there any more, unless it stands for the many addresses that jobs bring."""
    disabled = session.scalar(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.url != "")
        .values(disabled_at=func.now())
        .returning(WebhookEndpoint.id)
    )
    pending = WebhookDelivery.endpoint_id == disabled, WebhookDelivery.next_attempt_at.is_not(None)
    if disabled:
        session.execute(
            update(WebhookDelivery).where(*pending).values(next_attempt_at=None, given_up_at=func.now())
        )
