"""The ledger: whole credits, granted, held, captured and released. The only place that touches money.

Every movement is an entry that is never changed, and changes the account's sums in the same
transaction; the hold of a new job is part of the one statement that writes it (``submission.py``).
``mismatches`` says whether the two still agree.

    grant     available + n
    hold      available - n, held + n      a job was submitted
    capture                  held - n      it was finished: spent
    release   available + n, held - n      it failed, was cancelled, or was fast only by name
"""

from __future__ import annotations

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from renderfarm import audit, prices
from renderfarm.errors import FarmError
from renderfarm.models import Account, EntryKind, Job, LedgerEntry, Settlement


def grant(session: Session, account_id: str, amount: int, note: str = "", *, actor: str = audit.FARM) -> None:
    """Give the account credits. Raises ``ValueError`` for an amount or an account that is none."""
    if amount <= 0:
        raise ValueError("a grant is a positive number of credits")
    if not _move(session, account_id, EntryKind.GRANT, available=amount, note=note):
        raise ValueError(f"there is no account {account_id}")
    audit.write(
        session, actor, "credits.grant", account_id=account_id, subject=account_id, amount=amount, note=note
    )


def hold(session: Session, account_id: str, job_id: str, amount: int) -> None:
    """Set ``amount`` credits aside for the job; CS-ORCR-001 when the account has fewer.

    A free job holds none, and leaves the account as it is.
    """
    if amount and not _move(
        session, account_id, EntryKind.HOLD, available=-amount, held=amount, job_id=job_id
    ):
        raise too_few(amount)


def too_few(amount: int) -> FarmError:
    """CS-ORCR-001."""
    return FarmError("CS-ORCR-001", f"The job costs {amount} credits and the account has not enough.")


def in_turn(session: Session, account_id: str) -> None:
    """Let jobs without a price be counted by one transaction of the account at a time."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"unpriced {account_id}", 0))))


def foresee(session: Session, account_id: str) -> None:
    """CS-ORCR-001 where the account could not pay the least for each of its jobs without a price yet.

    Asked once the last of them is written, ``in_turn``. It keeps an account from having much fetched for
    nothing; what it has may be held for another job all the same, which then ends when its price is known.
    """
    modes = select(Job.mode).where(
        Job.account_id == account_id, Job.credits.is_(None), Job.status.in_(("queued", "processing"))
    )
    needed = sum(prices.least(mode) for mode in session.scalars(modes))
    if needed > (session.scalar(select(Account.available).where(Account.id == account_id)) or 0):
        raise FarmError("CS-ORCR-001", f"The account has not the {needed} credits that this needs at least.")


def capture(session: Session, job: Job, amount: int) -> bool:
    """Spend ``amount`` of what the job holds, and give back the rest.

    False, and nothing moved, when its hold has ended before.
    """
    rest = (job.credits or 0) - amount
    if not _settle(session, job, captured=amount, returned=rest):
        return False
    if rest:
        _move(session, job.account_id, EntryKind.RELEASE, available=rest, held=-rest, job_id=job.id)
    return not amount or _move(session, job.account_id, EntryKind.CAPTURE, held=-amount, job_id=job.id)


def release(session: Session, job: Job) -> bool:
    """Give back what the job holds; False, and nothing moved, when its hold has ended before."""
    held = job.credits or 0
    if not _settle(session, job, captured=0, returned=held):
        return False
    return not held or _move(
        session, job.account_id, EntryKind.RELEASE, available=held, held=-held, job_id=job.id
    )


def entries(
    session: Session, account_id: str, before: int | None = None, limit: int = 50
) -> list[LedgerEntry]:
    """A page of the account's ledger, newest first; ``before`` is the last id of the page before."""
    query = select(LedgerEntry).where(LedgerEntry.account_id == account_id)
    if before is not None:
        query = query.where(LedgerEntry.id < before)
    return list(session.scalars(query.order_by(LedgerEntry.id.desc()).limit(limit)))


def mismatches(session: Session) -> int:
    """How many accounts do not add up: against their ledger, or against their jobs' open holds."""
    ledger = (
        select(
            LedgerEntry.account_id,
            func.sum(LedgerEntry.available_delta).label("available"),
            func.sum(LedgerEntry.held_delta).label("held"),
        )
        .group_by(LedgerEntry.account_id)
        .subquery()
    )
    holds = (
        select(Job.account_id, func.sum(Job.credits).label("held"))
        .outerjoin(Settlement, Settlement.job_id == Job.id)
        .where(Settlement.job_id.is_(None))
        .group_by(Job.account_id)
        .subquery()
    )
    wrong = or_(
        Account.available != func.coalesce(ledger.c.available, 0),
        Account.held != func.coalesce(ledger.c.held, 0),
        Account.held != func.coalesce(holds.c.held, 0),
    )
    query = (
        select(func.count())
        .select_from(Account)
        .outerjoin(ledger, ledger.c.account_id == Account.id)
        .outerjoin(holds, holds.c.account_id == Account.id)
        .where(wrong)
    )
    return session.execute(query).scalar_one()


def _settle(session: Session, job: Job, *, captured: int, returned: int) -> bool:
    """Write the one row that ends the job's hold; False when it is there already."""
    row = insert(Settlement).values(job_id=job.id, captured=captured, returned=returned)
    return session.scalar(row.on_conflict_do_nothing().returning(Settlement.job_id)) is not None


def _move(
    session: Session,
    account_id: str,
    kind: EntryKind,
    *,
    available: int = 0,
    held: int = 0,
    job_id: str | None = None,
    note: str = "",
) -> bool:
    """Change the account's sums and write why; False, and nothing changed, where it has too few.

    ``held`` is not asked: a hold that is not there is a fault of ours, and the table's CHECK says so.
    """
    moved = session.scalar(
        update(Account)
        .where(Account.id == account_id, Account.available + available >= 0)
        .values(available=Account.available + available, held=Account.held + held)
        .returning(Account.id)
    )
    if moved is None:
        return False
    session.add(
        LedgerEntry(
            account_id=account_id,
            job_id=job_id,
            kind=kind.value,
            available_delta=available,
            held_delta=held,
            note=note,
        )
    )
    session.flush()
    return True
