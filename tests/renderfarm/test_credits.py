"""The ledger: what is held is spent or given back, once, and every sum agrees."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from renderfarm import credits, listing
from renderfarm.errors import FarmError
from renderfarm.models import EntryKind, Settlement
from tests.renderfarm.farm import Farm


def test_a_job_holds_its_price_and_is_refused_where_credits_lack(farm: Farm) -> None:
    account = farm.account(credit=30)
    farm.submit(account, price=20)
    assert farm.money(account) == (10, 20)
    with pytest.raises(FarmError, match="CS-ORCR-001"):
        farm.submit(account, price=11)
    assert farm.money(account) == (10, 20)
    with farm.database.begin() as session:
        assert len(listing.list_jobs(session)) == 1  # the refused one left nothing
    farm.submit(account, price=10)
    assert farm.money(account) == (0, 30)
    assert farm.mismatches() == 0


def test_a_hold_is_settled_once_whatever_comes_after(farm: Farm) -> None:
    account = farm.account(credit=50)
    job = farm.job(farm.submit(account, price=20))
    with farm.database.begin() as session:
        assert credits.capture(session, job, job.credits)
        assert not credits.capture(session, job, job.credits)
        assert not credits.release(session, job)
    assert farm.money(account) == (30, 0)
    with farm.database.begin() as session:
        settlement = session.get_one(Settlement, job.id)
        assert (settlement.captured, settlement.returned) == (20, 0)
    assert farm.mismatches() == 0


def test_a_released_hold_comes_back_whole(farm: Farm) -> None:
    account = farm.account(credit=50)
    job = farm.job(farm.submit(account, price=20))
    with farm.database.begin() as session:
        assert credits.release(session, job)
        assert not credits.capture(session, job, job.credits)
    assert farm.money(account) == (50, 0)
    assert farm.mismatches() == 0


def test_the_ledger_reads_newest_first_by_pages(farm: Farm) -> None:
    account = farm.account(credit=50)
    job = farm.submit(account, price=20)
    farm.cancel(account, job)
    with farm.database.begin() as session:
        page = credits.entries(session, account, limit=2)
        rest = credits.entries(session, account, before=page[-1].id)
    assert [entry.kind for entry in page] == [EntryKind.RELEASE, EntryKind.HOLD]
    assert [entry.kind for entry in rest] == [EntryKind.GRANT]
    assert page[0].job_id == job


@pytest.mark.parametrize("amount", [0, -5])
def test_a_grant_is_a_positive_number(farm: Farm, amount: int) -> None:
    account = farm.account(credit=0)
    with farm.database.begin() as session, pytest.raises(ValueError, match="positive"):
        credits.grant(session, account, amount)


def test_a_grant_to_nobody_is_refused(farm: Farm) -> None:
    with farm.database.begin() as session, pytest.raises(ValueError, match="no account"):
        credits.grant(session, "acct_nobody", 5)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE accounts SET available = available + 1",
        "UPDATE accounts SET held = held + 1",
        "DELETE FROM ledger_entries WHERE kind = 'hold'",
        "INSERT INTO settlements (job_id, captured, returned) SELECT id, credits, 0 FROM jobs",
    ],
)
def test_a_ledger_that_does_not_add_up_is_noticed(farm: Farm, damage: str) -> None:
    farm.submit(farm.account(credit=50), price=20)
    farm.account(credit=5)
    assert farm.mismatches() == 0
    with farm.database.begin() as session:
        session.execute(text(damage))
    assert farm.mismatches() >= 1


def test_no_path_leads_below_zero(farm: Farm) -> None:
    farm.account(credit=5)
    with pytest.raises(IntegrityError, match="available_not_negative"), farm.database.begin() as session:
        session.execute(text("UPDATE accounts SET available = available - 6"))
