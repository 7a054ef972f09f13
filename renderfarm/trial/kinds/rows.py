"""What can happen to PostgreSQL: it is the truth, so everybody waits for it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import psycopg
from sqlalchemy import text

from renderfarm.trial.case import Case, Fault
from renderfarm.trial.kinds.processes import LONG, during
from renderfarm.trial.process import alive
from renderfarm.trial.waiting import until


def faults() -> Iterator[Fault]:
    """Restarts of each kind, silence, cut connections, in each phase of a job; and no NOTIFY at all."""
    harms: tuple[tuple[str, Callable[[Case], None]], ...] = (
        ("is restarted", lambda case: _restarted(case, signal.SIGINT)),
        ("is restarted at once", lambda case: _restarted(case, signal.SIGQUIT)),
        ("is killed", lambda case: _restarted(case, signal.SIGKILL)),
        ("is away past the lease", _away),
        ("stands still", _still),
        ("drops every connection", _dropped),
    )
    for name, harm in harms:
        yield Fault(name=f"PostgreSQL {name} while analysing", act=during(_whoever(harm), "analyse:0"))
        yield Fault(name=f"PostgreSQL {name} while drawing", act=during(_whoever(harm)))
    yield Fault(name="PostgreSQL drops every connection, again and again", act=_harassed)
    yield Fault(name="nobody is notified", act=_unheard)


def _whoever(harm: Callable[[Case], None]) -> Callable[[Case, object], None]:
    return lambda case, _: harm(case)


def _restarted(case: Case, kind: signal.Signals, pause: float = 0.0) -> None:
    postgres = case.farm.ground.postgres
    family = postgres.family()
    family[0].send_signal(kind)
    until(lambda: not alive(family), 30, "PostgreSQL to end")
    postgres.wait_end()
    time.sleep(pause)
    postgres.start()
    postgres.wait_ready()


def _away(case: Case) -> None:
    _restarted(case, signal.SIGQUIT, LONG)


def _still(case: Case) -> None:
    case.farm.ground.postgres.pause()
    time.sleep(LONG)
    case.farm.ground.postgres.resume()


def _dropped(case: Case) -> None:
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    name = case.farm.settings.database_url.rpartition("/")[2]
    with psycopg.connect(case.farm.ground.url("postgres"), autocommit=True) as connection:
        connection.execute(query, (name,))


def _harassed(case: Case) -> None:
    case.submit()
    for _ in range(12):
        _dropped(case)
        time.sleep(0.4)


def _unheard(case: Case) -> None:
    """A function that does nothing stands before PostgreSQL's own; everybody connects anew."""
    name = case.farm.settings.database_url.rpartition("/")[2]
    with case.farm.database.begin() as session:
        mute = "CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''"
        session.execute(text(mute))
        session.execute(text(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog'))
    case.farm.database.close()
    for process in [*case.farm.dispatchers, *case.farm.workers]:
        process.restart()
    case.farm.wait_ready()
    with case.farm.database.begin() as session:
        here = session.scalar(text("SELECT 'pg_notify'::regproc::oid = 'public.pg_notify'::regproc::oid"))
    assert here, "PostgreSQL still notifies"
    case.submit()
