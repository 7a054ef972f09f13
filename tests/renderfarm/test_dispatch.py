"""The dispatcher: who is admitted, in which order, and that every unit gets its message."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import text

from pipeline.spec import Model, Stage
from renderfarm import dispatch, jobs
from renderfarm.cdn import Public
from renderfarm.db import Database
from renderfarm.dispatch import SLACK, Dispatcher, celery_publisher
from renderfarm.local import postgres as embedded
from renderfarm.local.ports import free_port
from renderfarm.migrate import migrate
from renderfarm.models import Unit
from renderfarm.settings import Settings
from renderfarm.storage import FileStore
from tests.renderfarm.farm import Farm, pins, worker
from tests.services.processes import running
from tests.waiting import until


def overdue(farm: Farm) -> list[str]:
    with farm.database.begin() as session:
        return [unit.unit_id for unit in dispatch.overdue(session, farm.settings)]


def test_no_more_is_admitted_than_idle_workers_and_a_little(farm: Farm) -> None:
    for _ in range(5):
        farm.submit(farm.account())
    assert len(farm.admit()) == SLACK  # nobody is there yet
    assert farm.admit() == []
    farm.report(worker("w1"), worker("w2"), worker("w3"), worker("other", "v3"))
    admitted = farm.admit()
    assert len(admitted) == 3
    farm.take(admitted[0], worker("w1"))  # one less to claim, and one less that is idle
    assert farm.admit() == []


def test_each_queue_has_room_of_its_own(farm: Farm) -> None:
    v3, v4 = farm.submit(farm.account(), Model.V3), farm.submit(farm.account(), Model.V4)
    assert {unit.split(":")[0] for unit in farm.admit()} == {v3, v4}


def test_accounts_take_turns_however_much_one_of_them_sends(farm: Farm) -> None:
    greedy, modest = farm.account("greedy", 1000), farm.account("modest")
    first = [farm.submit(greedy) for _ in range(3)]
    second = farm.submit(modest)
    farm.report(worker("w1"), worker("w2"))
    assert farm.admit() == [
        f"{first[0]}:analyse:0",
        f"{second}:analyse:0",
        f"{first[0]}:reference:0",
        f"{second}:reference:0",
    ]


def test_whoever_has_work_running_waits_for_those_who_have_none(farm: Farm) -> None:
    early, late = farm.account(), farm.account()
    first = farm.submit(early)
    farm.take(f"{first}:analyse:0")
    farm.take(f"{first}:reference:0")
    again, other = farm.submit(early), farm.submit(late)
    assert farm.admit() == [f"{other}:analyse:0", f"{other}:reference:0"]
    assert farm.units(again) == {"reference": "waiting", "analyse": "waiting"}


def test_a_job_that_has_begun_goes_before_the_accounts_newer_ones(farm: Farm) -> None:
    account = farm.account()
    old, new = farm.submit(account), farm.submit(account)
    farm.do(old, Stage.ANALYSE)
    farm.do(old, Stage.REFERENCE)
    assert farm.admit() == [f"{old}:join:0", f"{new}:analyse:0"]


def test_no_account_runs_more_than_its_cap(farm: Farm) -> None:
    farm = farm.with_settings(account_running_cap=3)
    account = farm.account(credit=1000)
    for _ in range(5):
        farm.submit(account)
    farm.report(*(worker(f"w{number}") for number in range(6)))
    admitted = farm.admit()
    assert len(admitted) == 3
    claim = farm.take(admitted[0])
    assert farm.admit() == []
    farm.hand_over(claim)
    assert farm.admit() == [claim.unit_id]


def test_a_second_dispatcher_counts_the_room_after_the_first(farm: Farm) -> None:
    for _ in range(6):
        farm.submit(farm.account())
    waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    second: list[list[str]] = []
    thread = threading.Thread(target=lambda: second.append(farm.admit()))
    with farm.database.begin() as session:
        assert len(dispatch.admit(session, farm.settings)) == SLACK
        thread.start()
        until(lambda: session.execute(text(waits)).first() is not None)
    thread.join()
    assert second == [[]]


def test_versions_that_no_live_worker_has_do_not_stand_in_the_way(farm: Farm) -> None:
    stuck = farm.submit(farm.account())
    assert len(farm.admit()) == 2
    farm.report(worker("new", engines=["puppet_v4/new"]))
    assert overdue(farm) == []
    with farm.database.begin() as session:
        session.query(Unit).update({"pins": pins("puppet_v4/old")})
    fresh = [farm.submit(farm.account()) for _ in range(2)]
    with farm.database.begin() as session:
        session.query(Unit).where(Unit.job_id.in_(fresh)).update(
            {"pins": pins("puppet_v4/new")}, synchronize_session=False
        )
    admitted = farm.admit()
    assert len(admitted) == 3
    assert stuck not in {unit.split(":")[0] for unit in admitted}


def test_units_that_nobody_can_claim_use_up_no_share_of_their_account(farm: Farm) -> None:
    account = farm.account()
    old = [farm.submit(account), farm.submit(account, Model.V3)]
    assert len(farm.admit()) == 4  # all that one account may have
    with farm.database.begin() as session:
        stuck = {"pins": pins("puppet_v4/old")}
        session.query(Unit).where(Unit.job_id == old[0]).update(stuck, synchronize_session=False)
    fresh = farm.submit(account)
    assert farm.admit() == []
    farm.report(worker("new"))  # of v4; none of v3 is there
    assert farm.admit() == [f"{fresh}:analyse:0", f"{fresh}:reference:0"]


def test_a_job_that_somebody_is_changing_is_admitted_a_round_later(farm: Farm) -> None:
    held, free = farm.submit(farm.account()), farm.submit(farm.account())
    with farm.database.begin() as session:
        assert jobs.lock(session, held) is not None
        assert {unit.split(":")[0] for unit in farm.admit()} == {free}
    assert f"{held}:analyse:0" in farm.admit()


def test_an_unclaimed_unit_is_published_once_per_period(farm: Farm) -> None:
    farm.submit(farm.account())
    admitted = farm.admit()
    assert overdue(farm) == []
    for unit_id in admitted:
        farm.turn_back(Unit, unit_id, "published_at", farm.settings.republish_seconds + 1)
    busy = worker("busy")
    farm.report(busy)
    farm.take(admitted[0], busy)
    assert overdue(farm) == [], "whoever is busy has its message still before it"
    farm.report(worker("idle"))
    assert overdue(farm) == admitted[1:]
    assert overdue(farm) == []


def test_the_queue_position_is_the_order_of_admission(farm: Farm) -> None:
    greedy, modest = farm.account("greedy", 1000), farm.account("modest")
    ids = [farm.submit(greedy) for _ in range(4)] + [farm.submit(modest) for _ in range(2)]
    begun = farm.submit(greedy)
    farm.take(f"{begun}:analyse:0")  # from here on the greedy one has a unit more
    assert farm.position(begun) is None
    promised = {farm.position(job): job for job in ids}
    assert sorted(promised) == [1, 2, 3, 4, 5, 6]
    first_seen: list[str] = []
    farm = farm.with_settings(account_running_cap=100)
    while len(first_seen) < len(ids):
        for unit_id in farm.admit():
            job = unit_id.split(":")[0]
            # Once admitted it stands where it stood, less those that have started since.
            if job in ids and job not in first_seen:
                assert farm.position(job) == 1
                first_seen.append(job)
            farm.take(unit_id)
            assert job not in ids or farm.position(job) is None
    assert first_seen[0] == promised[1] == ids[4]


class Outbox:
    """Where messages go in these tests; ``broken`` makes it refuse them."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.broken = False

    def __call__(self, unit_id: str, queue: str) -> None:
        if self.broken:
            raise ConnectionError("the broker is away")
        self.sent.append((unit_id, queue))


@contextmanager
def dispatching(farm: Farm, publish: dispatch.Publish, tmp_path: Path) -> Iterator[None]:
    stop = threading.Event()
    database = Database(farm.settings.database_url)
    store = FileStore(tmp_path / "store", Public("http://x"))
    thread = threading.Thread(target=Dispatcher(farm.settings, database, publish, store).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        database.close()
        assert not thread.is_alive()


def test_a_notice_wakes_the_dispatcher_long_before_the_clock(farm: Farm, tmp_path: Path) -> None:
    outbox = Outbox()
    account = farm.account()
    slow = farm.with_settings(sweep_seconds=60.0)
    with dispatching(slow, outbox, tmp_path):
        listening = "SELECT 1 FROM pg_stat_activity WHERE query = 'LISTEN farm_work' AND state = 'idle'"
        with psycopg.connect(farm.database.url, autocommit=True) as connection:
            until(
                lambda: (
                    connection.execute(listening + " AND datname = current_database()").fetchone() is not None
                )
            )
        started = time.monotonic()
        job = farm.submit(account)
        until(lambda: len(outbox.sent) == 2)
        assert time.monotonic() - started < 10
    assert sorted(outbox.sent) == [(f"{job}:analyse:0", "v4"), (f"{job}:reference:0", "v4")]


def test_the_clock_alone_is_enough(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "announce", lambda session: None)
    outbox = Outbox()
    account = farm.account()
    with dispatching(farm.with_settings(sweep_seconds=0.1), outbox, tmp_path):
        farm.submit(account)
        until(lambda: len(outbox.sent) == 2)


def test_messages_that_the_broker_refused_go_out_when_it_is_back(farm: Farm, tmp_path: Path) -> None:
    outbox = Outbox()
    outbox.broken = True
    dispatcher = Dispatcher(
        farm.settings, farm.database, outbox, FileStore(tmp_path / "store", Public("http://x"))
    )
    farm.submit(farm.account())
    assert dispatcher.dispatch() == 0
    outbox.broken = False
    assert dispatcher.dispatch() == 2
    assert dispatcher.dispatch() == 0
    assert len(outbox.sent) == 2


def messages(broker: redis.Redis, queue: str) -> list[str]:
    """The unit ids in a queue, as a worker would get them: the oldest first."""
    bodies = [json.loads(raw) for raw in broker.lrange(queue, 0, -1)][::-1]
    assert all(body["headers"]["task"] == "render.unit" for body in bodies)
    return [json.loads(base64.b64decode(body["body"]))[0][0] for body in bodies]


def test_messages_reach_the_queues_of_a_real_redis_and_survive_its_loss(
    farm: Farm, redis_url: str, tmp_path: Path
) -> None:
    settings = replace(farm.settings, redis_url=redis_url)
    dispatcher = Dispatcher(
        settings, farm.database, celery_publisher(settings), FileStore(tmp_path / "store", Public("http://x"))
    )
    v4, v3 = farm.submit(farm.account()), farm.submit(farm.account(), Model.V3)
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushall()
        assert dispatcher.dispatch() == 4
        assert messages(broker, "v4") == [f"{v4}:analyse:0", f"{v4}:reference:0"]
        assert messages(broker, "v3") == [f"{v3}:analyse:0", f"{v3}:reference:0"]
        broker.flushall()
        assert dispatcher.dispatch() == 0  # not before the period is over
        for unit_id in (f"{v4}:analyse:0", f"{v4}:reference:0", f"{v3}:analyse:0"):
            farm.turn_back(Unit, unit_id, "published_at", settings.republish_seconds + 1)
        farm.report(worker("idle"), worker("idle too", "v3"))
        assert dispatcher.dispatch() == 3
        assert messages(broker, "v4") == [f"{v4}:analyse:0", f"{v4}:reference:0"]
        assert messages(broker, "v3") == [f"{v3}:analyse:0"]
        broker.flushall()


def test_a_publisher_without_a_broker_says_so_soon(farm: Farm) -> None:
    publish = celery_publisher(replace(farm.settings, redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    started = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)refused"):
        publish("job_x:analyse:0", "v4")
    assert time.monotonic() - started < 5


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Postgres]:
    """A PostgreSQL of this test's own, not running."""
    cluster = embedded.prepare(tmp_path_factory.mktemp("restarted"))
    yield cluster
    shutil.rmtree(cluster.data, ignore_errors=True)


def test_the_dispatcher_outlives_restarts_of_redis_and_postgresql(
    settings: Settings, cluster: embedded.Postgres, tmp_path: Path
) -> None:
    postgres_port, redis_port = free_port(), free_port()
    url = cluster.url(postgres_port)
    broker_url = f"redis://127.0.0.1:{redis_port}/0"
    settings = replace(settings, database_url=url, redis_url=broker_url, sweep_seconds=0.1)
    farm = Farm(Database(url), settings)

    @contextmanager
    def postgres() -> Iterator[None]:
        command, stop = cluster.command(postgres_port), signal.SIGINT
        with running(command, port=postgres_port, cwd=Path("/"), user=cluster.user, stop=stop):
            embedded.wait_ready(cluster.url(postgres_port, "postgres"), 30)
            yield

    def broker() -> AbstractContextManager[object]:
        command = ["redis-server", "--port", str(redis_port), "--dir", str(tmp_path), "--save", ""]
        return running(command, port=redis_port)

    with postgres():
        embedded.create_database(cluster.url(postgres_port, "postgres"))
        migrate(url)
        account = farm.account()
    # The dispatcher starts before either is there.
    with dispatching(farm, celery_publisher(settings), tmp_path), redis.Redis(port=redis_port) as reader:
        with postgres():
            first = farm.submit(account)
            until(lambda: farm.unit(f"{first}:analyse:0").status == "admitted")
            with broker():
                until(lambda: reader.llen("v4") == 2)
        with broker(), postgres():
            for stage in ("analyse", "reference"):
                farm.take(f"{first}:{stage}:0")
            second = farm.submit(account)
            until(lambda: messages(reader, "v4")[-2:] == [f"{second}:analyse:0", f"{second}:reference:0"])
    farm.database.close()
