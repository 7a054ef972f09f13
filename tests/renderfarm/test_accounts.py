"""Accounts and keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from sqlalchemy import func, text, update

from renderfarm import accounts
from renderfarm.accounts import Scope
from renderfarm.db import Database
from renderfarm.models import Account, ApiKey

HOUR = timedelta(hours=1)


def _scopes(database: Database, secret: str) -> set[Scope] | None:
    """What the secret opens; None where it opens nothing."""
    principal = accounts.authenticate(database, secret)
    return None if principal is None else set(principal.scopes)


def _set(database: Database, key_id: str, **columns: str) -> None:
    with database.begin() as session:
        values = {name: text(value) for name, value in columns.items()}
        session.execute(update(ApiKey).where(ApiKey.id == key_id).values(values))


def test_a_name_is_taken_once(database: Database) -> None:
    with database.begin() as session:
        made = accounts.create_account(session, "  desk ")
        assert made.name == "desk"
        assert (made.available, made.held) == (0, 0)
        with pytest.raises(accounts.NameTaken):
            accounts.create_account(session, "desk")
        assert accounts.find_account(session, "desk") is made
        assert accounts.find_account(session, "other") is None
        with pytest.raises(ValueError, match="needs a name"):
            accounts.create_account(session, "  ")


def test_a_key_opens_its_account_until_it_is_revoked(database: Database) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        first, secret = accounts.create_key(session, account.id)
        second, other = accounts.create_key(session, account.id)
    assert secret.startswith("sk-")
    assert secret != other
    opened = accounts.authenticate(database, secret)
    assert opened is not None
    assert (opened.id, opened.key_id, opened.scopes) == (account.id, first.id, {Scope.READ, Scope.RENDER})
    with database.begin() as session:
        assert accounts.revoke_key(session, first.id)
        assert not accounts.revoke_key(session, first.id)
    assert accounts.authenticate(database, secret) is None
    assert accounts.authenticate(database, other).id == account.id
    with database.begin() as session:
        assert {key.id for key in accounts.list_keys(session, account.id)} == {first.id, second.id}


@pytest.mark.parametrize("secret", ["", "sk-", "sk-\udcff", "x" * 10_000])
def test_what_is_no_key_opens_nothing(database: Database, secret: str) -> None:
    assert accounts.authenticate(database, secret) is None


def test_the_secret_is_kept_nowhere(database: Database) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        key, secret = accounts.create_key(session, account.id)
        assert secret not in (key.id, key.sha256, key.prefix)
        assert secret.startswith(key.prefix)
        assert len(key.prefix) < 12


@pytest.mark.parametrize(
    ("given", "may"),
    [
        ([Scope.READ], {Scope.READ}),
        ([Scope.RENDER], {Scope.RENDER, Scope.READ}),
        ([Scope.ADMIN], set(Scope)),
    ],
)
def test_a_key_may_do_what_its_scopes_imply(
    database: Database, given: Iterable[Scope], may: set[Scope]
) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        _, secret = accounts.create_key(session, account.id, given)
    assert _scopes(database, secret) == may


def test_a_key_of_before_there_were_scopes_may_render_and_read(database: Database) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        key, secret = accounts.create_key(session, account.id)
    _set(database, key.id, scopes="DEFAULT")
    assert _scopes(database, secret) == {Scope.RENDER, Scope.READ}


def test_a_key_opens_nothing_once_it_has_expired(database: Database) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        key, secret = accounts.create_key(session, account.id, lasts=HOUR)
    assert _scopes(database, secret)
    _set(database, key.id, expires_at="now() - interval '1 second'")
    assert _scopes(database, secret) is None


def test_a_key_that_was_made_while_its_account_was_deleted_opens_nothing(database: Database) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        _, secret = accounts.create_key(session, account.id)
    assert _scopes(database, secret)
    with database.begin() as session:
        session.execute(update(Account).values(deleted_at=func.now()))
    assert _scopes(database, secret) is None


def test_the_last_use_of_a_key_is_written_once_a_minute(database: Database) -> None:
    def last() -> str:
        with database.begin() as session:
            return str(session.get_one(ApiKey, key.id).last_used_at)

    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        key, secret = accounts.create_key(session, account.id)
    assert last() == "None"
    accounts.authenticate(database, secret)
    first = last()
    assert first != "None"
    accounts.authenticate(database, secret)
    assert last() == first
    _set(database, key.id, last_used_at="now() - interval '61 seconds'")
    accounts.authenticate(database, secret)
    assert last() > first


def test_a_rotated_key_hands_its_scopes_and_its_end_to_the_next(database: Database) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        old, first = accounts.create_key(session, account.id, [Scope.READ], 2 * HOUR)
        rotated = accounts.rotate_key(session, old.id)
    assert rotated is not None
    new, second = rotated
    assert _scopes(database, first) is None
    assert _scopes(database, second) == {Scope.READ}
    with database.begin() as session:
        ends = session.get_one(ApiKey, new.id).expires_at
        assert abs(ends - session.get_one(ApiKey, old.id).expires_at) < timedelta(seconds=1)
        assert accounts.rotate_key(session, old.id) is None  # it works no more
        assert accounts.rotate_key(session, "key_nobody") is None


def test_a_key_rotated_with_grace_works_beside_the_next_until_then(database: Database) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        old, first = accounts.create_key(session, account.id)
        rotated = accounts.rotate_key(session, old.id, grace=HOUR)
    assert rotated is not None
    assert _scopes(database, first) == _scopes(database, rotated[1])
    with database.begin() as session:
        assert session.get_one(ApiKey, old.id).expires_at
        assert session.get_one(ApiKey, rotated[0].id).expires_at is None
