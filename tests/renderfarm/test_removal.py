"""An account that goes takes its keys, its jobs and its files with it, and leaves its ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from renderfarm import accounts, assets, audit, credits, endpoints, removal, uploads
from renderfarm.errors import FarmError
from renderfarm.models import Account, Asset, Garbage, Job, LedgerEntry, Upload, WebhookEndpoint
from renderfarm.removal import Removed, StillOpen
from tests.renderfarm.farm import Farm
from tests.renderfarm.test_assets import prepare
from tests.waiting import until


def remove(farm: Farm, name: str, *, cancel: bool = False) -> Removed | None:
    return removal.remove(farm.database, farm.settings, name, cancel=cancel, actor="ada")


def _unpriced(farm: Farm, account: str) -> str:
    return farm.submit(account, price=None)  # type: ignore[arg-type]  # as where a video is to be fetched


def thrown(farm: Farm) -> set[str]:
    with farm.database.begin() as session:
        return set(session.scalars(select(Garbage.key)))


def test_all_that_it_has_goes_and_its_ledger_and_its_name_are_left(farm: Farm) -> None:
    account = farm.account("studio", credit=100)
    with farm.database.begin() as session:
        _, secret = accounts.create_key(session, account)
        endpoints.own(session, account)
        unused = uploads.begin(session, farm.settings, account, "image", 10, None).key
    done, scene = farm.submit(account, webhook_url="https://a.test/me"), prepare(farm, account)
    farm.do_all(done)
    with farm.database.begin() as session:
        ledger = credits.entries(session, account)
        template = assets.publish(session, farm.settings, scene.id, "a street")
    gone = remove(farm, " studio ")
    assert gone == Removed(account, keys=1, cancelled=0, assets=2, renders=1)
    assert accounts.authenticate(farm.database, secret) is None
    outputs = {f"out/{done}/{name}" for name in ("output", "mask", "thumbnail")}
    assert outputs | {unused, "in/a/picture", "in/scene/video", f"work/{scene.job_id}/"} <= thrown(farm)
    assert farm.job(done).files_deleted_at is not None
    assert farm.job(done).webhook_url is None
    assert farm.mismatches() == 0
    with farm.database.begin() as session:
        assert [entry.id for entry in credits.entries(session, account)] == [entry.id for entry in ledger]
        assert session.scalars(select(Upload)).all() == session.scalars(select(WebhookEndpoint)).all() == []
        assert session.get_one(Asset, template.id).deleted_at is not None
        (told,) = [e for e in audit.entries(session, account) if e.action == "account.delete"]
        assert (told.actor, told.details) == ("ada", {"name": "studio"})
        assert accounts.find_account(session, "studio") is None
        assert accounts.create_account(session, "studio").id != account
        assert session.get_one(Account, account).name == f"studio (deleted {account})"
    assert remove(farm, "nobody") is None


def test_open_jobs_are_in_the_way_unless_they_are_to_be_cancelled(farm: Farm) -> None:
    farm = farm.with_settings(free_cancels_per_day=0)
    account = farm.account("studio", credit=100)
    waiting, running = farm.submit(account), farm.submit(account)
    farm.take(f"{running}:analyse:0")
    with pytest.raises(StillOpen, match="'studio' has 2 jobs"):
        remove(farm, "studio")
    with farm.database.begin() as session:
        assert accounts.find_account(session, "studio") is not None
    gone = remove(farm, "studio", cancel=True)
    assert gone is not None
    assert gone.cancelled == 2
    assert {farm.job(job).status for job in (waiting, running)} == {"cancelled"}
    assert farm.money(account) == (100, 0)
    assert farm.mismatches() == 0


@pytest.mark.parametrize(
    ("submit", "code"),
    [(Farm.submit, "CS-ORCR-001"), (prepare, "CS-ORAU-002"), (_unpriced, "CS-ORAU-002")],
    ids=["paid", "free", "unpriced"],
)
def test_a_job_that_is_submitted_meanwhile_is_refused(
    farm: Farm, submit: Callable[[Farm, str], object], code: str
) -> None:
    account = farm.account("studio", credit=100)
    refused: list[str] = []

    def try_it() -> None:
        try:
            submit(farm, account)
        except FarmError as error:
            refused.append(error.code)

    with farm.database.begin() as session:
        row = session.get_one(Account, account, with_for_update=True)
        thread = threading.Thread(target=try_it)
        thread.start()
        until(lambda: _waits(farm))
        row.deleted_at = row.created_at
    thread.join()
    assert refused == [code]
    with farm.database.begin() as session:
        assert session.scalars(select(Job.id)).all() == []
        assert [entry.kind for entry in session.scalars(select(LedgerEntry))] == ["grant"]


def _waits(farm: Farm) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = %s"
    return bool(farm.database.read(query, ["Lock"]))


def test_a_key_that_was_being_made_as_the_account_went_opens_nothing(farm: Farm) -> None:
    account = farm.account("studio")
    with farm.database.begin() as session:
        assert accounts.find_account(session, "studio") is not None
        remove(farm, "studio")
        _, secret = accounts.create_key(session, account)
    assert accounts.authenticate(farm.database, secret) is None


def test_what_died_half_way_is_finished_by_the_next(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = farm.account("studio")
    done = farm.submit(account)
    farm.do_all(done)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(removal, "_hide", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        remove(farm, "studio")
    with pytest.raises(FarmError, match="CS-ORCR-001"):
        farm.submit(account)
    gone = remove(farm, "studio")
    assert gone is not None
    assert (gone.renders, farm.job(done).outputs) == (1, {})
