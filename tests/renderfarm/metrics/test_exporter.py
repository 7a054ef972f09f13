"""The exporter tells what the rows say, and says so when it cannot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import text
from sqlalchemy.orm import Session

from renderfarm import credits
from renderfarm.db import Database
from renderfarm.metrics import webhooks
from renderfarm.metrics.exporter import FarmCollector, Ratchet, run_exporter
from renderfarm.models import Account, Job, JobStatus, Unit, UnitStatus, Worker
from renderfarm.settings import Settings, SettingsError
from tests.services.exporter import exporter_server
from tests.services.postgres import PostgresServer


@pytest.fixture
def registry(exporter: FarmCollector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(exporter)
    return registry


@pytest.fixture
def account(database: Database) -> str:
    with database.begin() as session:
        session.add(Account(id="acc_1", name="studio"))
        session.flush()
        credits.grant(session, "acc_1", 100)
    return "acc_1"


def add_job(database: Database, account: str, job_id: str, **changes: object) -> str:
    """A queued V4 job with its hold, as submission leaves it."""
    values: dict[str, object] = {
        "id": job_id,
        "account_id": account,
        "status": JobStatus.QUEUED.value,
        "mode": "full_pipeline",
        "model": "V4_Preview",
        "spec": {},
        "plan": {},
        "video": {},
        "inputs": {},
        "credits": 6,
        "queue_deadline": datetime.now(UTC) + timedelta(hours=6),
    }
    with database.begin() as session:
        session.add(Job(**(values | changes)))
        session.flush()
        credits.hold(session, account, job_id, 6)
    return job_id


def add_unit(
    database: Database, job_id: str, queue: str, status: UnitStatus, age: float, **changes: object
) -> None:
    """A unit made ``age`` seconds ago, ready from the start."""
    values: dict[str, object] = {
        "id": f"{job_id}:{queue}:{status.value}",
        "job_id": job_id,
        "account_id": "acc_1",
        "stage": f"{queue}-{status.value}",
        "queue": queue,
        "pins": "",
        "status": status.value,
        "created_at": ago(age),
        "not_before": ago(age),
    }
    with database.begin() as session:
        session.add(Unit(**(values | changes)))


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def test_an_empty_farm_shows_every_queue_at_zero(registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("renderfarm_exporter_up") == 1
    assert registry.get_sample_value("renderfarm_ledger_mismatch") == 0
    assert registry.get_sample_value("renderfarm_oldest_hold_age_seconds") == 0
    for queue in ("v3", "v4", "cpu"):
        for series in ("queue_depth", "queue_oldest_age_seconds", "workers", "units_running"):
            assert registry.get_sample_value(f"renderfarm_{series}", {"queue": queue}) == 0, series


def test_jobs_are_counted_by_model_mode_and_status(
    exporter: FarmCollector, registry: CollectorRegistry, database: Database, account: str
) -> None:
    add_job(database, account, "job_1")
    add_job(database, account, "job_2", created_at=ago(500))
    add_job(database, account, "job_3", model="V3_Preview", mode="fast", status="processing")

    def jobs(model: str, mode: str, status: str) -> float | None:
        return registry.get_sample_value("renderfarm_jobs", {"model": model, "mode": mode, "status": status})

    assert jobs("V4_Preview", "full_pipeline", "queued") == 2
    assert jobs("V3_Preview", "fast", "processing") == 1
    exporter.look()
    age = registry.get_sample_value("renderfarm_oldest_hold_age_seconds")
    assert age == pytest.approx(500, abs=60)


def test_a_queue_is_as_deep_as_its_waiting_and_admitted_units_and_as_old_as_the_oldest(
    registry: CollectorRegistry, database: Database, account: str
) -> None:
    job = add_job(database, account, "job_1")
    add_unit(database, job, "v4", UnitStatus.WAITING, 300)
    add_unit(database, job, "v4", UnitStatus.ADMITTED, 100)
    add_unit(database, job, "v4", UnitStatus.RUNNING, 9000, lease_until=ago(-60))
    add_unit(database, job, "v4", UnitStatus.DONE, 9000)
    add_unit(database, job, "v3", UnitStatus.RUNNING, 9000, lease_until=ago(5))

    def of(series: str, queue: str) -> float | None:
        return registry.get_sample_value(f"renderfarm_{series}", {"queue": queue})

    assert (of("queue_depth", "v4"), of("queue_depth", "v3"), of("queue_depth", "cpu")) == (2, 0, 0)
    assert of("queue_oldest_age_seconds", "v4") == pytest.approx(300, abs=60)
    assert of("queue_oldest_age_seconds", "v3") == 0
    assert (of("units_running", "v4"), of("units_running", "v3")) == (1, 1)
    assert (of("leases_expired", "v4"), of("leases_expired", "v3")) == (0, 1)


def test_a_unit_waits_anew_after_a_backoff_or_an_attempt_that_moved(
    registry: CollectorRegistry, database: Database, account: str
) -> None:
    job = add_job(database, account, "job_1")
    add_unit(database, job, "v3", UnitStatus.WAITING, 9000, progressed_at=ago(200))
    add_unit(database, job, "v4", UnitStatus.WAITING, 9000, not_before=ago(-600))

    def age(queue: str) -> float | None:
        return registry.get_sample_value("renderfarm_queue_oldest_age_seconds", {"queue": queue})

    assert age("v3") == pytest.approx(200, abs=60)
    assert age("v4") == 0


def test_only_workers_that_reported_within_a_lease_count(
    registry: CollectorRegistry, database: Database
) -> None:
    with database.begin() as session:
        for name, queue, seen_at in (
            ("a", "v4", ago(0)),
            ("b", "v4", ago(60)),
            ("c", "cpu", ago(0)),
        ):
            session.add(Worker(name=name, queue=queue, versions={}, seen_at=seen_at))
    workers = {
        queue: registry.get_sample_value("renderfarm_workers", {"queue": queue})
        for queue in ("v3", "v4", "cpu")
    }
    assert workers == {"v3": 0, "v4": 1, "cpu": 1}


def test_a_balance_that_nothing_explains_is_a_mismatch(
    exporter: FarmCollector, registry: CollectorRegistry, database: Database, account: str
) -> None:
    add_job(database, account, "job_1")
    exporter.look()
    assert registry.get_sample_value("renderfarm_ledger_mismatch") == 0
    with database.begin() as session:
        session.execute(text("UPDATE accounts SET available = available + 1"))
    exporter.look()
    assert registry.get_sample_value("renderfarm_ledger_mismatch") == 1


def test_a_hold_that_outlives_its_job_is_seen(
    exporter: FarmCollector, registry: CollectorRegistry, database: Database, account: str
) -> None:
    """Balances add up all the same: nobody else would notice."""
    add_job(database, account, "job_1", status="failed", created_at=ago(90_000), completed_at=ago(80_000))
    exporter.look()
    assert registry.get_sample_value("renderfarm_ledger_mismatch") == 0
    age = registry.get_sample_value("renderfarm_oldest_hold_age_seconds")
    assert age == pytest.approx(90_000, abs=60)


def test_without_a_port_the_exporter_says_which_setting_is_missing(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="FARM_METRICS_PORT"):
        run_exporter(replace(settings, metrics_port=0))


def test_the_exporter_outlives_a_database_that_goes_and_comes(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.fresh_database()
    name = url.rsplit("/", 1)[1]
    with (
        exporter_server(url, tmp_path) as exporter,
        psycopg.connect(postgres.url("postgres"), autocommit=True) as admin,
    ):
        assert exporter.scrape()["renderfarm_exporter_up"] == 1

        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        assert exporter.scrape() == {"renderfarm_process_info": 1, "renderfarm_exporter_up": 0}

        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        after = exporter.scrape()
        assert after["renderfarm_exporter_up"] == 1
        assert "renderfarm_queue_depth" in after

        exporter.process.terminate()
        assert exporter.process.wait(10) == 0


def test_two_who_scrape_at_once_both_see_the_jobs(
    exporter: FarmCollector, database: Database, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has its snapshot, and counts after the second, whose snapshot is newer."""
    add_job(database, account, "job_1")
    began, ended = threading.Event(), threading.Event()
    seen: dict[str, set[str]] = {}
    families = webhooks.families

    def slow(session: Session) -> Iterator[Metric]:
        found = list(families(session))
        if threading.current_thread().name == "first":
            began.set()
            ended.wait(1)
        yield from found

    def scrape() -> None:
        seen[threading.current_thread().name] = {family.name for family in exporter.collect()}
        ended.set()

    monkeypatch.setattr(webhooks, "families", slow)
    first, second = (threading.Thread(target=scrape, name=name) for name in ("first", "second"))
    first.start()
    assert began.wait(10)
    second.start()
    for thread in (first, second):
        thread.join(20)
    assert all("renderfarm_job_wait_seconds" in names for names in (seen["first"], seen["second"]))


def test_what_fell_is_shown_as_it_was() -> None:
    """A clock that was ahead had called jobs late that were not."""
    ratchet = Ratchet()

    def shown(value: float) -> float:
        return ratchet(CounterMetricFamily("renderfarm_a", "", value=value)).samples[0].value

    assert [shown(value) for value in (0, 5, 4, 5, 6)] == [0, 5, 5, 5, 6]
