"""Accounts and keys."""

from __future__ import annotations

import pytest

from renderfarm import accounts
from renderfarm.db import Database


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
    with database.begin() as session:
        assert accounts.authenticate(session, secret).id == account.id
        assert accounts.revoke_key(session, first.id)
        assert not accounts.revoke_key(session, first.id)
        assert accounts.authenticate(session, secret) is None
        assert accounts.authenticate(session, other).id == account.id
        assert {key.id for key in accounts.list_keys(session, account.id)} == {first.id, second.id}


@pytest.mark.parametrize("secret", ["", "sk-", "sk-\udcff", "x" * 10_000])
def test_what_is_no_key_opens_nothing(database: Database, secret: str) -> None:
    with database.begin() as session:
        assert accounts.authenticate(session, secret) is None


def test_the_secret_is_kept_nowhere(database: Database) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk")
        key, secret = accounts.create_key(session, account.id)
        assert secret not in (key.id, key.sha256, key.prefix)
        assert secret.startswith(key.prefix)
        assert len(key.prefix) < 12
