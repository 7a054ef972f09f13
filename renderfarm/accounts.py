"""Accounts and their API keys. The only place that makes either."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import Interval, func, select, text, type_coerce, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from renderfarm import audit
from renderfarm.db import Database, after, new_id
from renderfarm.models import Account, ApiKey

#: Characters of a secret that are kept to recognise it by, its ``sk-`` among them.
_SHOWN = 10


class NameTaken(ValueError):
    """An account of that name exists."""


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"  # see what the account has
    RENDER = "render"  # send, change and delete; sees, too
    ADMIN = "admin"  # kept for what operators do on the command line: no path of the API asks for it


_IMPLIED: Mapping[Scope, frozenset[Scope]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.RENDER: frozenset({Scope.RENDER, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}
#: What a key may do where nobody says.
USUAL = (Scope.RENDER, Scope.READ)


@dataclass(frozen=True, slots=True)
class Principal:
    """An account as one of its keys shows it, and what that key may do."""

    #: The account's.
    id: str
    available: int
    held: int
    key_id: str
    scopes: frozenset[Scope]


def create_account(session: Session, name: str, *, actor: str = audit.FARM) -> Account:
    """A new account without credits; ``NameTaken`` when there is one of that name."""
    name = name.strip()
    if not name:
        raise ValueError("an account needs a name")
    row = insert(Account).values(id=new_id("acct"), name=name).on_conflict_do_nothing()
    account: Account | None = session.scalar(row.returning(Account))
    if account is None:
        raise NameTaken(f"there is an account {name!r} already")
    audit.write(session, actor, "account.create", account_id=account.id, subject=account.id, name=name)
    return account


def find_account(session: Session, name: str) -> Account | None:
    """The account of that name, unless it is being deleted."""
    named = select(Account).where(Account.name == name.strip(), Account.deleted_at.is_(None))
    return session.scalar(named)


def create_key(
    session: Session,
    account_id: str,
    scopes: Iterable[Scope] = USUAL,
    lasts: timedelta | None = None,
    *,
    actor: str = audit.FARM,
) -> tuple[ApiKey, str]:
    """A new key of the account and its secret, which is kept nowhere and cannot be shown again.

    It works for as long as it ``lasts``, or until it is revoked.
    """
    secret = f"sk-{secrets.token_urlsafe(32)}"
    key = ApiKey(
        id=new_id("key"),
        account_id=account_id,
        sha256=_digest(secret),
        prefix=secret[:_SHOWN],
        scopes=" ".join(sorted(set(scopes))),
    )
    if lasts is not None:
        key.expires_at = after(lasts.total_seconds())  # the database's own clock
    session.add(key)
    session.flush()
    ends = key.expires_at.isoformat() if key.expires_at else None
    audit.write(
        session,
        actor,
        "key.create",
        account_id=account_id,
        subject=key.id,
        scopes=key.scopes,
        expires_at=ends,
    )
    return key, secret


def revoke_key(session: Session, key_id: str, *, actor: str = audit.FARM) -> bool:
    """End the key for good; False when there is none of that id that still works."""
    owner = session.scalar(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.account_id)
    )
    if owner is None:
        return False
    audit.write(session, actor, "key.revoke", account_id=owner, subject=key_id)
    return True


def rotate_key(
    session: Session, key_id: str, grace: timedelta = timedelta(), *, actor: str = audit.FARM
) -> tuple[ApiKey, str] | None:
    """A key that may do what this one may, which ends after ``grace``; None where none of that id works.

    The new one expires when the old one would have.
    """
    old = session.get(ApiKey, key_id, with_for_update=True, populate_existing=True)
    if old is None or old.revoked_at is not None:
        return None
    left: timedelta | None = session.scalar(
        select(type_coerce(ApiKey.expires_at - func.now(), Interval)).where(ApiKey.id == key_id)
    )
    if left is not None and left <= timedelta():
        return None
    new, secret = create_key(session, old.account_id, map(Scope, old.scopes.split()), left, actor=actor)
    if not grace:
        revoke_key(session, key_id, actor=actor)
    elif left is None or grace < left:
        session.execute(
            update(ApiKey).where(ApiKey.id == key_id).values(expires_at=after(grace.total_seconds()))
        )
    audit.write(
        session,
        actor,
        "key.rotate",
        account_id=old.account_id,
        subject=key_id,
        new=new.id,
        grace_seconds=int(grace.total_seconds()),
    )
    return new, secret


def list_keys(session: Session, account_id: str) -> list[ApiKey]:
    """Every key the account ever had, the newest first."""
    query = select(ApiKey).where(ApiKey.account_id == account_id)
    return list(session.scalars(query.order_by(ApiKey.created_at.desc(), ApiKey.id)))


_AUTHENTICATE = """
    SELECT a.id, a.available, a.held, k.id AS key_id, k.scopes,
        k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute' AS unnoted
    FROM api_keys k JOIN accounts a ON a.id = k.account_id
    WHERE k.sha256 = %s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
        -- One that was being made, or rotated, as the account was deleted was not revoked with the others.
        AND a.deleted_at IS NULL
    """
#: Of two that come at once the second finds nothing left to note, and neither waits for the other.
_NOTE_USE = text(
    """
    UPDATE api_keys SET last_used_at = now() WHERE id = (
        SELECT id FROM api_keys
        WHERE id = :id AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
        FOR UPDATE SKIP LOCKED)
    """
)


def authenticate(database: Database, secret: str) -> Principal | None:
    """Whose key this is; None when nobody's, or when it was revoked or has expired.

    One statement without a transaction. Once a minute another one notes that the key is in use.
    """
    rows = database.read(_AUTHENTICATE, [_digest(secret)])
    if not rows:
        return None
    row = rows[0]
    if row["unnoted"]:
        with database.begin() as session:
            session.execute(_NOTE_USE, {"id": row["key_id"]})
    granted = (_IMPLIED[Scope(scope)] for scope in row["scopes"].split())
    return Principal(
        row["id"], row["available"], row["held"], row["key_id"], frozenset[Scope]().union(*granted)
    )


def _digest(secret: str) -> str:
    # Secrets are 256 random bits, so a plain hash is as safe as a slow one.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
