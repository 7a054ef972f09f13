"""A tally reads each row once, and all of them where the clock by which they are ordered went back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from renderfarm.db import Database
from renderfarm.metrics.tally import Tally

#: Rows settle once they are ten older than the clock.
STATEMENT = text(
    """
    SELECT clock.now - 10 AS mark, rows.at <= clock.now - 10 AS settled, rows.name, sum(rows.size)
    FROM rows, clock WHERE rows.at > :mark GROUP BY 1, 2, 3
    """
)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.begin() as session:
        session.execute(text("CREATE TEMP TABLE rows (at int, name text, size int)"))
        session.execute(text("CREATE TEMP TABLE clock AS SELECT 100 AS now"))
        yield session


def write(session: Session, at: int, name: str, size: int) -> None:
    session.execute(
        text("INSERT INTO rows VALUES (:at, :name, :size)"), {"at": at, "name": name, "size": size}
    )


def set_clock(session: Session, now: int) -> None:
    session.execute(text("UPDATE clock SET now = :now"), {"now": now})


def test_what_is_settled_is_not_read_again(session: Session) -> None:
    tally = Tally(STATEMENT, 0, 1)
    write(session, 50, "a", 1)
    write(session, 95, "a", 10)
    assert tally.is_due and tally.sums(session) is None
    tally.count(session)
    assert not tally.is_due
    session.execute(text("DELETE FROM rows WHERE at = 50"))
    assert tally.sums(session) == {("a",): (11.0,)}
    set_clock(session, 110)  # the other one is settled, too
    write(session, 109, "b", 100)
    for _ in range(2):
        assert tally.sums(session) == {("a",): (11.0,), ("b",): (100.0,)}
        session.execute(text("DELETE FROM rows WHERE at = 95"))


def test_a_row_that_comes_in_late_is_counted_while_rows_may(session: Session) -> None:
    tally = Tally(STATEMENT, 0, 1)
    write(session, 95, "a", 1)
    tally.count(session)
    set_clock(session, 104)
    assert tally.sums(session) == {("a",): (1.0,)}
    write(session, 96, "a", 10)
    assert tally.sums(session) == {("a",): (11.0,)}


def test_nothing_is_said_after_the_clock_went_back_until_all_is_counted_anew(session: Session) -> None:
    tally = Tally(STATEMENT, 0, 1)
    write(session, 85, "a", 1)
    write(session, 99, "a", 10)
    tally.count(session)
    assert tally.sums(session) == {("a",): (11.0,)}
    set_clock(session, 80)
    write(session, 79, "a", 100)
    assert tally.sums(session) is None and tally.is_due
    tally.count(session)
    assert tally.sums(session) == {("a",): (111.0,)}
