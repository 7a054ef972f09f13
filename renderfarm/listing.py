"""Jobs, found: one by its id, or an account's by pages."""

from __future__ import annotations

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from renderfarm.models import Job, JobKind


def get(session: Session, job_id: str) -> Job | None:
    """The job as it is now."""
    return session.get(Job, job_id, populate_existing=True)


def list_jobs(
    session: Session,
    account_id: str | None = None,
    status: str | None = None,
    before: str | None = None,
    limit: int = 50,
    kind: JobKind | None = None,
) -> list[Job]:
    """A page of jobs, newest first; ``before`` is the id of the last job of the page before."""
    query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit)
    if account_id is not None:
        query = query.where(Job.account_id == account_id)
    if status is not None:
        query = query.where(Job.status == status)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if before is not None:
        cursor = select(Job.created_at, Job.id).where(Job.id == before)
        if account_id is not None:
            cursor = cursor.where(Job.account_id == account_id)
        query = query.where(tuple_(Job.created_at, Job.id) < cursor.scalar_subquery())
    return list(session.scalars(query))
