"""An account that goes, for good: its keys, its jobs, its files and its addresses.

What it has paid stays, in the ledger, its jobs' rows and the audit log, under its id; its name is free.
Each step is a transaction of its own, and all of it may be done again after a process that died.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from renderfarm import assets, audit, garbage, holdings, jobs
from renderfarm.db import Database
from renderfarm.models import (
    FINAL,
    Account,
    ApiKey,
    Asset,
    Job,
    JobKind,
    Upload,
    UploadState,
    WebhookEndpoint,
)
from renderfarm.settings import Settings

#: Renders whose files are thrown away at once.
_BATCH = 200


class StillOpen(ValueError):
    """The account has jobs that have not ended."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What went."""

    account_id: str
    keys: int
    #: Jobs that were at work.
    cancelled: int
    assets: int
    #: Renders that had files.
    renders: int


def remove(database: Database, settings: Settings, name: str, *, cancel: bool, actor: str) -> Removed | None:
    """Remove the account of that name; None where there is none. Its files are garbage from then on.

    ``StillOpen`` where it has open jobs that are not to be cancelled.
    """
    with database.begin() as session:
        # Keys come before their account, as whoever changes one has them.
        keys_of = select(ApiKey.id).join(Account).where(Account.name == name.strip())
        session.execute(keys_of.with_for_update(of=ApiKey))
        # Whoever is submitting a job is done before, or is refused: see ``jobs.submit``.
        account = session.scalar(select(Account).where(Account.name == name.strip()).with_for_update())
        if account is None:
            return None
        account_id = account.id
        if (still := len(_open(session, account_id))) and not cancel:
            raise StillOpen(f"{name!r} has {still} jobs that have not ended")
        if account.deleted_at is None:
            account.deleted_at = session.scalar(select(func.now()))
        keys = _revoke(session, account_id)
    with database.begin() as session:
        open_jobs = _open(session, account_id)
    cancelled = sum(_call_off(database, settings, open_jobs))
    hidden = _hide(database, settings, account_id)
    renders = 0
    while dropped := _drop_files(database, settings, account_id):
        renders += dropped
    with database.begin() as session:
        told = (Job.account_id == account_id, Job.webhook_url.is_not(None))
        session.execute(update(Job).where(*told).values(webhook_url=None))
    with database.begin() as session:
        unused = delete(Upload).where(Upload.account_id == account_id, Upload.state != UploadState.USED)
        garbage.throw(session, settings, session.scalars(unused.returning(Upload.key)), 0)
        session.execute(delete(WebhookEndpoint).where(WebhookEndpoint.account_id == account_id))
        session.get_one(Account, account_id).name = f"{name.strip()} (deleted {account_id})"
        audit.write(
            session, actor, "account.delete", account_id=account_id, subject=account_id, name=name.strip()
        )
    return Removed(account_id, keys, cancelled, hidden, renders)


def _open(session: Session, account_id: str) -> list[str]:
    mine = select(Job.id).where(Job.account_id == account_id, Job.status.not_in(FINAL))
    return list(session.scalars(mine.order_by(Job.id)))


def _revoke(session: Session, account_id: str) -> int:
    works = (ApiKey.account_id == account_id, ApiKey.revoked_at.is_(None))
    revoked = update(ApiKey).where(*works).values(revoked_at=func.now()).returning(ApiKey.id)
    return len(session.scalars(revoked).all())


def _call_off(database: Database, settings: Settings, job_ids: Iterable[str]) -> Iterable[bool]:
    for job_id in job_ids:
        with database.begin() as session:
            yield jobs.call_off(session, settings, job_id)


def _hide(database: Database, settings: Settings, account_id: str) -> int:
    """Its characters, scenes and templates; what others have imported keeps its files."""
    mine = select(Asset.id).where(Asset.account_id == account_id, Asset.deleted_at.is_(None))
    with database.begin() as session:
        ids = session.scalars(mine).all()
    for asset_id in ids:
        with database.begin() as session:
            assets.delete(session, settings, session.get_one(Asset, asset_id))
    return len(ids)


def _drop_files(database: Database, settings: Settings, account_id: str) -> int:
    """The files of some of its renders; of how many."""
    kept = or_(Job.inputs != {}, Job.outputs != {})
    mine = select(Job).where(Job.account_id == account_id, Job.kind == JobKind.RENDER, kept)
    with database.begin() as session:
        found = session.scalars(mine.order_by(Job.id).limit(_BATCH).with_for_update()).all()
        for job in found:
            holdings.drop_inputs(session, settings, job)
            holdings.drop_outputs(session, settings, job)
    return len(found)
