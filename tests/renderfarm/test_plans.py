"""With 10,000 jobs waiting, none of the statements that matter looks at all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from pipeline.spec import RENDER
from renderfarm import dispatch, jobs, places, submission, views
from renderfarm.cdn import Public
from renderfarm.jobs import FAST
from renderfarm.storage import FileStore
from renderfarm.sweep import Sweeper
from tests.renderfarm.farm import Farm, worker

#: A table of fewer rows is best read whole.
LARGE = 1000


@pytest.fixture(params=[1, 10_000], ids=["one account", "an account each"])
def crowded(farm: Farm, request: pytest.FixtureRequest) -> tuple[Farm, str]:
    first = farm.crowd(10_000, request.param)
    farm.report(*(worker(f"w{number}") for number in range(4)), worker("stitcher", "cpu"))
    return farm, first


@contextmanager
def statements(farm: Farm) -> Iterator[list[tuple[str, Any]]]:
    """Whatever is sent to the database meanwhile."""
    sent: list[tuple[str, Any]] = []

    def listen(conn: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        sent.append((statement, parameters))

    def read(statement: str, values: Any) -> list[dict[str, Any]]:
        sent.append((statement, values))
        return unheard(statement, values)

    def write(connection: Any, rows: submission.Rows) -> datetime:
        sent.append((submission.STATEMENT, submission.values_of(rows)))
        return unheard_write(connection, rows)

    unheard, unheard_write = farm.database.read, submission.write
    event.listen(farm.database.engine, "before_cursor_execute", listen)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(farm.database, "read", read)
            patch.setattr(submission, "write", write)
            yield sent
    finally:
        event.remove(farm.database.engine, "before_cursor_execute", listen)


def large_tables(farm: Farm) -> set[str]:
    with farm.database.begin() as session:
        query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples >= :large"
        return set(session.scalars(text(query), {"large": LARGE}))


def scanned(farm: Farm, statement: str, parameters: Any, tables: set[str]) -> set[str]:
    """Those of the tables of which the statement's plan reads every row."""
    if not statement.lstrip().upper().startswith(("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")):
        return set()
    with farm.database.engine.connect() as connection, connection.connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        [[[plan]]] = cursor.fetchall()
    found: set[str] = set()

    def look(node: dict[str, Any]) -> None:
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in tables:
            found.add(node["Relation Name"])
        for below in node.get("Plans", ()):
            look(below)

    look(plan["Plan"])
    return found


def test_no_statement_on_a_jobs_way_reads_all_that_wait(crowded: tuple[Farm, str], tmp_path: Path) -> None:
    farm, first = crowded
    large = large_tables(farm)
    assert {"jobs", "units"} <= large
    account = farm.account(credit=100)
    sweeper = Sweeper(farm.settings, farm.database, FileStore(tmp_path / "store", Public("http://x")))
    line = places.Places()
    with farm.database.begin() as session:
        line.of(session, first, "V4_Preview", "full_pipeline")

    def status() -> None:
        seen = views.view(farm.database, first)
        assert seen is not None
        with farm.database.begin() as session:
            assert line.of(session, first, seen.model, seen.mode) >= 1

    def overdue() -> None:
        with farm.database.begin() as session:
            dispatch.overdue(session, farm.settings)

    def whole_job() -> None:
        job_id = farm.submit(account)
        for stage in RENDER:
            farm.do(job_id, stage)

    def begun_and_broken() -> None:
        claim = farm.take(f"{first}:analyse:0")
        assert farm.beat(claim, 1, 10)
        farm.fail(claim)

    steps: dict[str, Callable[[], object]] = {
        "submit": lambda: farm.submit(account),
        "a fast one": lambda: farm.submit(account, mode=FAST),
        "status": status,
        "admit": farm.admit,
        "again": farm.admit,
        "overdue": overdue,
        "a whole job": whole_job,
        "an attempt that fails": begun_and_broken,
        "sweep": sweeper.sweep,
        "cancel": lambda: farm.cancel(farm.job(first).account_id, first),
    }
    bad = {}
    for name, step in steps.items():
        with statements(farm) as sent:
            try:
                step()
            except jobs.FarmError as refused:
                assert (name, refused.code) == ("a fast one", "CS-UORC01-001"), (
                    "others wait for the free ones"
                )
        assert sent, name
        for statement, parameters in sent:
            if whole := scanned(farm, statement, parameters, large):
                bad[f"{name}: {' '.join(statement.split())[:300]}"] = whole
    assert bad == {}


def test_the_crowd_is_really_there(crowded: tuple[Farm, str]) -> None:
    farm, _ = crowded
    with farm.database.begin() as session:
        waiting = session.execute(text("SELECT count(*) FROM units WHERE status = 'waiting'")).scalar_one()
        assert len(places.places(session, "v4", False)) == 10_000
    assert waiting == 20_000
