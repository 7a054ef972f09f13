"""The sweeper: what time alone brings about."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from renderfarm import db, garbage, jobs, listing
from renderfarm.cdn import Public
from renderfarm.db import Database, after
from renderfarm.models import Garbage, Job, Unit, Worker
from renderfarm.storage import FileStore, StorageError
from renderfarm.sweep import Sweeper
from tests.renderfarm.farm import Farm, worker
from tests.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", Public("http://x"))


@pytest.fixture
def sweeper(farm: Farm, store: FileStore) -> Sweeper:
    return Sweeper(farm.settings, farm.database, store)


def put(store: FileStore, key: str) -> None:
    with store.writer(key) as out:
        out.write(b"bytes")
        out.commit()


def throw(farm: Farm, *keys: str, seconds: float = -1) -> None:
    with farm.database.begin() as session:
        garbage.throw(session, farm.settings, keys, seconds)


def garbage_keys(farm: Farm) -> list[str]:
    with farm.database.begin() as session:
        return list(session.scalars(select(Garbage.key).order_by(Garbage.key)))


def test_an_expired_lease_is_taken_back_and_a_running_one_is_not(farm: Farm, sweeper: Sweeper) -> None:
    first, second = farm.submit(farm.account()), farm.submit(farm.account())
    lost, kept = farm.take(f"{first}:analyse:0"), farm.take(f"{second}:analyse:0")
    assert sweeper.sweep() == 0
    farm.lose(lost)
    assert sweeper.sweep() == 1
    assert (farm.unit(lost.unit_id).status, farm.unit(kept.unit_id).status) == ("waiting", "running")
    assert sweeper.sweep() == 0


def test_deadlines_are_enforced_once(farm: Farm, sweeper: Sweeper) -> None:
    account = farm.account(credit=40)
    waiting, running = farm.submit(account), farm.submit(account)
    farm.take(f"{running}:analyse:0")
    assert sweeper.sweep() == 0
    farm.turn_back(Job, waiting, "queue_deadline", 1)
    farm.turn_back(Job, running, "run_deadline", 1)
    assert sweeper.sweep() == 2
    assert {farm.job(job).error_code for job in (waiting, running)} == {"CS-UORC01-104"}
    assert farm.money(account) == (40, 0)
    assert sweeper.sweep() == 0


def test_silent_workers_are_forgotten(farm: Farm, sweeper: Sweeper) -> None:
    farm.report(worker("alive"), worker("silent"))
    with farm.database.begin() as session:
        session.execute(update(Worker).where(Worker.name == "silent").values(seen_at=after(-3600)))
    assert sweeper.sweep() == 1
    with farm.database.begin() as session:
        assert session.scalars(select(Worker.name)).all() == ["alive"]


def test_garbage_goes_when_its_time_has_come(farm: Farm, sweeper: Sweeper, store: FileStore) -> None:
    for key in ("in/a/x", "in/a/y", "work/job_1/plate-0/1/plate", "work/job_1/join-0/2/tracks"):
        put(store, key)
    throw(farm, "in/a/x", "work/job_1/", "in/a/never-written")
    throw(farm, "in/a/y", seconds=60)
    assert sweeper.collect_garbage() == 3
    assert list(store.list("")) == ["in/a/y"]
    assert garbage_keys(farm) == ["in/a/y"]
    assert sweeper.collect_garbage() == 0


def test_what_was_kept_in_time_stays(farm: Farm, sweeper: Sweeper, store: FileStore) -> None:
    put(store, "in/a/video")
    put(store, "in/a/picture")
    throw(farm, "in/a/video", "in/a/picture")
    farm.submit(farm.account())
    assert sweeper.collect_garbage() == 0
    assert list(store.list("")) == ["in/a/picture", "in/a/video"]


def test_a_file_cannot_be_claimed_while_it_is_being_deleted(
    farm: Farm, sweeper: Sweeper, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "out/x")
    throw(farm, "out/x")
    locked: list[bool] = []

    def delete(key: str) -> None:
        query = select(Garbage.key).where(Garbage.key == key).with_for_update(skip_locked=True)
        with farm.database.begin() as session:
            locked.append(session.scalar(query) is None)

    monkeypatch.setattr(store, "delete", delete)
    assert sweeper.collect_garbage() == 1
    assert locked == [True]


def test_a_store_that_is_away_gets_its_garbage_later(
    farm: Farm, sweeper: Sweeper, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(key: str) -> None:
        raise StorageError("the store is away")

    put(store, "in/a/x")
    throw(farm, "in/a/x")
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", away)
        assert sweeper.collect_garbage() == 0
    assert sweeper.collect_garbage() == 0  # not at once again
    throw(farm, "in/a/x")
    assert sweeper.collect_garbage() == 1
    assert not store.exists("in/a/x")


def test_a_cache_that_is_away_holds_up_only_what_it_may_have(farm: Farm, store: FileStore) -> None:
    purged = {"cdn_purge_urls": "http://127.0.0.1:9", "cdn_purge_secret": "s" * 16}
    sweeper = Sweeper(farm.with_settings(**purged).settings, farm.database, store)
    public = [f"out/job_1/{number}" for number in range(3)]
    for key in (*public, "work/job_1/a", "in/a/x"):
        put(store, key)
    throw(farm, *public, seconds=-60)
    throw(farm, "work/job_1/", "in/a/x")
    assert sweeper.collect_garbage() == 5
    assert list(store.list("")) == []
    assert sweeper.purge_caches() == 3
    assert garbage_keys(farm) == public
    assert sweeper.purge_caches() == 0  # not at once again


def test_everything_of_an_ended_job_but_its_outputs_is_swept(farm: Farm, store: FileStore) -> None:
    farm = farm.with_settings(garbage_seconds=-1.0)
    job = farm.submit(farm.account())
    put(store, f"work/{job}/segment-0/1/segment-0000")
    for key in (f"out/{job}/output", f"out/{job}/of-a-lost-attempt"):
        throw(farm, key)
        put(store, key)
    farm.do_all(job)
    Sweeper(farm.settings, farm.database, store).collect_garbage()
    assert list(store.list("")) == [f"out/{job}/output"]
    assert garbage_keys(farm) == []


def test_many_sweepers_at_once_take_a_unit_back_once(farm: Farm, store: FileStore) -> None:
    ids = [farm.submit(farm.account()) for _ in range(4)]
    for job in ids:
        farm.lose(farm.take(f"{job}:analyse:0"))
    with ThreadPoolExecutor(4) as pool:
        sweepers = [Sweeper(farm.settings, farm.database, store) for _ in range(4)]
        assert sum(pool.map(lambda sweeper: sweeper.sweep(), sweepers)) == 4
    assert {farm.unit(f"{job}:analyse:0").lost for job in ids} == {1}
    with farm.database.begin() as session:
        assert listing.list_jobs(session, status="failed") == []
        assert session.query(Unit).where(Unit.status == "running").count() == 0


def test_a_process_that_stands_still_inside_a_transaction_holds_nobody_up(
    farm: Farm, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "IDLE_SECONDS", 1)
    frozen, lost = farm.submit(farm.account()), farm.submit(farm.account())
    units = [farm.take(f"{job}:analyse:0") for job in (frozen, lost)]
    for unit in units:
        farm.lose(unit)
    with closing(Database(farm.database.url)) as other:
        session = Session(other.engine)
        jobs.lock(session, frozen)  # and never another word, as after SIGSTOP or a cut cable
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(sweeper.sweep).result(timeout=20) == 2
        session.invalidate()


def test_a_slow_store_does_not_lose_the_lock_on_what_it_deletes(
    farm: Farm, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "IDLE_SECONDS", 1)
    put(store, "in/a/x")
    throw(farm, "in/a/x")

    def delete(key: str) -> None:
        until_idle_for(farm, 1.5)
        FileStore.delete(store, key)

    monkeypatch.setattr(store, "delete", delete)
    with closing(Database(farm.database.url)) as own:
        assert Sweeper(farm.settings, own, store).collect_garbage() == 1
    assert garbage_keys(farm) == []


def until_idle_for(farm: Farm, seconds: float) -> None:
    """Wait until a transaction has stood still for so long, or is no more."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'idle in transaction' AND state_change > now() - :seconds * interval '1 second'"
    )

    def over() -> bool:
        with farm.database.begin() as session:
            return session.execute(query, {"seconds": seconds}).scalar_one() == 0

    until(over)
