"""The audit log: who did what to whose keys, credits, assets and webhooks. Written with the
deed or not at all.

What is written here is never changed, and holds no secret: ids and names alone.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from renderfarm.models import AuditEntry

#: The actor of what the farm does by itself.
FARM = "farm"


def write(
    session: Session,
    actor: str,
    action: str,
    *,
    account_id: str | None = None,
    subject: str = "",
    **details: object,
) -> None:
    """Add an entry in the caller's transaction; ``action`` is ``noun.verb``, ``details`` is plain JSON."""
    session.add(
        AuditEntry(actor=actor, action=action, account_id=account_id, subject=subject, details=details)
    )


def entries(
    session: Session, account_id: str | None = None, before: int | None = None, limit: int = 50
) -> list[AuditEntry]:
    """A page of the log, newest first, of one account or all, from ``before`` that id on."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if account_id is not None:
        query = query.where(AuditEntry.account_id == account_id)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return list(session.scalars(query))
