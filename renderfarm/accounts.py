"""Accounts and their API keys. The only place that makes either."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from renderfarm.db import new_id
from renderfarm.models import Account, ApiKey

#: Characters of a secret that are kept to recognise it by, its ``sk-`` among them.
_SHOWN = 10


class NameTaken(ValueError):
    """An account of that name exists."""


def create_account(session: Session, name: str) -> Account:
    """A new account without credits; ``NameTaken`` when there is one of that name."""
    name = name.strip()
    if not name:
        raise ValueError("an account needs a name")
    row = insert(Account).values(id=new_id("acct"), name=name).on_conflict_do_nothing()
    account: Account | None = session.scalar(row.returning(Account))
    if account is None:
        raise NameTaken(f"there is an account {name!r} already")
    return account


def find_account(session: Session, name: str) -> Account | None:
    """The account of that name."""
    return session.scalar(select(Account).where(Account.name == name.strip()))


def create_key(session: Session, account_id: str) -> tuple[ApiKey, str]:
    """A new key of the account and its secret, which is kept nowhere and cannot be shown again."""
    secret = f"sk-{secrets.token_urlsafe(32)}"
    key = ApiKey(id=new_id("key"), account_id=account_id, sha256=_digest(secret), prefix=secret[:_SHOWN])
    session.add(key)
    session.flush()
    return key, secret


def revoke_key(session: Session, key_id: str) -> bool:
    """End the key for good; False when there is none of that id that still works."""
    revoked = session.scalar(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
    )
    return revoked is not None


def list_keys(session: Session, account_id: str) -> list[ApiKey]:
    """Every key the account ever had, the newest first."""
    query = select(ApiKey).where(ApiKey.account_id == account_id)
    return list(session.scalars(query.order_by(ApiKey.created_at.desc(), ApiKey.id)))


def authenticate(session: Session, secret: str) -> Account | None:
    """Whose key this is; None when nobody's, or when it was revoked."""
    return session.scalar(
        select(Account)
        .join(ApiKey, ApiKey.account_id == Account.id)
        .where(ApiKey.sha256 == _digest(secret), ApiKey.revoked_at.is_(None))
    )


def _digest(secret: str) -> str:
    # Secrets are 256 random bits, so a plain hash is as safe as a slow one.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
