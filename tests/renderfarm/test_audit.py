"""The audit log."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from renderfarm import accounts, audit, credits
from renderfarm.db import Database


def test_what_happens_to_keys_and_credits_is_written_down_with_who_did_it(database: Database) -> None:
    with database.begin() as session:
        account = accounts.create_account(session, "desk", actor="ada")
        key, secret = accounts.create_key(session, account.id, actor="ada")
        credits.grant(session, account.id, 20, "a present", actor="bob")
        rotated = accounts.rotate_key(session, key.id, actor="bob")
        other = accounts.create_account(session, "other")
    assert rotated is not None
    with database.begin() as session:
        entries = audit.entries(session, account.id)
        assert [(entry.actor, entry.action, entry.subject) for entry in reversed(entries)] == [
            ("ada", "account.create", account.id),
            ("ada", "key.create", key.id),
            ("bob", "credits.grant", account.id),
            ("bob", "key.create", rotated[0].id),
            ("bob", "key.revoke", key.id),
            ("bob", "key.rotate", key.id),
        ]
        assert entries[3].details == {"amount": 20, "note": "a present"}
        written = " ".join(str(entry.details) for entry in entries)
        assert secret not in written
        assert rotated[1] not in written
        assert [entry.account_id for entry in audit.entries(session, limit=1)] == [other.id]
        assert [entry.id for entry in audit.entries(session, before=entries[1].id, limit=1)] == [
            entries[2].id
        ]


def test_what_did_not_happen_is_not_written_down(database: Database) -> None:
    with database.begin() as session:
        assert not accounts.revoke_key(session, "key_nobody")
        accounts.create_account(session, "desk")
        session.rollback()
    with database.begin() as session:
        assert audit.entries(session) == []


@pytest.mark.parametrize(
    "change", ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
def test_nothing_is_changed_or_taken_out_of_it(database: Database, change: str) -> None:
    with database.begin() as session:
        accounts.create_account(session, "desk")
    with pytest.raises(DBAPIError, match="only ever added to"), database.begin() as session:
        session.execute(text(change))
