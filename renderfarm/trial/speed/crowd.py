"""10,000 waiting jobs against 10: what is asked often must not get slower by those who wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from statistics import median
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.spec import PERCEPTION_VERSION, PLAN_VERSION, Model, RenderSpec, plan_for
from renderfarm import (
    accounts,
    credits,
    dispatch,
    jobs,
    line,
    listing,
    places,
    pools,
    prices,
    stages,
    views,
)
from renderfarm.claims import WorkerIdentity
from renderfarm.models import Job, Unit
from renderfarm.trial.farm import CREDITS, Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.speed.figure import Figure, Measured
from renderfarm.trial.speed.run import steady

MANY, QUICK_MANY, FEW = 10_000, 2_000, 10
ACCOUNTS = 100
WORKERS = 4
ROUNDS = 200
#: Times as slow as with 10 waiting; messages a worker.
_SLOWER, _MESSAGES = (1.2, 1.0), (2.0, 1.5)
_WATCHED_SECONDS = 12.0


class _Undone(Exception):
    """Ends a transaction that was only to be timed."""


def crowd(ground: Ground, quick: bool, tell: Callable[[str], None]) -> Measured:
    """Submission, a look at a job that waits and a round of admission, turn by turn on two farms.

    Then the dispatcher and four workers are let in to those who wait, and the messages are counted.
    """
    many = QUICK_MANY if quick else MANY
    with ExitStack() as stack:
        farms: dict[int, Farm] = {}
        for waiting in (FEW, many):
            farm = stack.enter_context(
                Farm.open(
                    ground,
                    workers={},
                    dispatchers=0,
                    **steady("fixed:ms=20"),
                )
            )
            farms[waiting] = farm
            _fill(farm, waiting)
            tell(f"{waiting} jobs wait")
        seconds = _timed(farms, 40 if quick else ROUNDS)
        messages = _messages(farms[many])
    name = f"{many} waiting against {FEW}" + (" (a sample)" if quick else "")
    figures = [
        Figure(f"{what}, {name}", median(own[many]) / median(own[FEW]), "x", *_SLOWER)
        for what, own in seconds.items()
    ]
    figures.append(Figure(f"messages a worker, {many} waiting", max(messages) / WORKERS, "", *_MESSAGES))
    details: dict[str, Any] = {
        what: {str(waiting): round(1000 * median(each), 3) for waiting, each in own.items()}
        for what, own in seconds.items()
    }
    return Measured(tuple(figures), {"p50_ms": details, "messages": max(messages), "workers": WORKERS})


#: The one of the accounts whose turn copy ``n`` is.
_OWNER = "(CAST(:owners AS text[]))[1 + n % cardinality(CAST(:owners AS text[]))]"
_COPY = "'job_' || lpad(n::text, 24, '0')"


def _fill(farm: Farm, waiting: int) -> None:
    """One job as the ingress submits it, and copies of its rows; all of them have the same files."""
    first = farm.submit()
    with farm.database.begin() as session:
        owners = [
            accounts.create_account(session, f"waiting-{number}").id
            for number in range(min(ACCOUNTS, waiting))
        ]
        for owner in owners:
            credits.grant(session, owner, CREDITS * ROUNDS)
        asked = {"first": first, "copies": waiting - 1, "owners": owners}
        session.execute(text(_copies("jobs", Job, "id", {"id": _COPY})), asked)
        own = {"id": f"{_COPY} || substr(id, length(:first) + 1)", "job_id": _COPY}
        session.execute(text(_copies("units", Unit, "job_id", own)), asked)
        line.mend(session)
    with psycopg.connect(farm.database.url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _copies(table: str, model: type[Job | Unit], key: str, own: Mapping[str, str]) -> str:
    """SQL that writes copies of a job's rows, each a little later than the one before."""
    values = {column.name: f'"{column.name}"' for column in model.__table__.columns}
    late = {name: f"{name} + n * interval '1 ms'" for name in ("created_at", "queued_at") if name in values}
    values |= {**late, **own, "account_id": _OWNER}
    names = ", ".join(f'"{name}"' for name in values)
    return (
        f"INSERT INTO {table} ({names}) SELECT {', '.join(values.values())}"
        f" FROM {table}, generate_series(1, :copies) n WHERE {key} = :first"
    )


def _submit(session: Session, farm: Farm, account_id: str, like: Job) -> str:
    plan = plan_for(Model.V4, engine=farm.settings.engine_of(Model.V4))
    video, spec = like.known_video, RenderSpec()
    assert video is not None
    new = jobs.NewJob(
        spec=spec,
        plan=plan,
        video=video,
        inputs=like.inputs,
        mode="full_pipeline",
        credits=prices.price(video, "full_pipeline"),
    )
    return jobs.submit(session, farm.settings, account_id, new).id


def _timed(farms: Mapping[int, Farm], rounds: int) -> dict[str, dict[int, list[float]]]:
    """Seconds of each action on each farm; what it wrote is undone, but for the heartbeats of workers."""
    seconds: dict[str, dict[int, list[float]]] = {}
    asked = {waiting: (_someone(farm), places.Places()) for waiting, farm in farms.items()}
    for _ in range(rounds):
        for waiting, farm in farms.items():
            with farm.database.begin() as session:
                for number in range(WORKERS):
                    pools.report_worker(session, _worker(farm, number), None)
            job, known = asked[waiting]
            for what, action in _actions(farm, job, known).items():
                begun = time.perf_counter()
                with suppress(_Undone), farm.database.begin() as session:
                    action(session)
                    session.flush()
                    raise _Undone
                seconds.setdefault(what, {}).setdefault(waiting, []).append(time.perf_counter() - begun)
    return seconds


def _actions(farm: Farm, job: Job, known: places.Places) -> dict[str, Callable[[Session], object]]:
    def look(session: Session) -> None:
        found = views.view(farm.database, job.id)
        assert found is not None
        known.of(session, found.id, found.model, found.mode)  # as an ingress that is asked often

    return {
        "submit": lambda session: _submit(session, farm, job.account_id, job),
        "status": look,
        "admission": lambda session: dispatch.admit(session, farm.settings),
    }


def _someone(farm: Farm) -> Job:
    """A job that waits, neither the first nor the last."""
    with farm.database.begin() as session:
        return listing.list_jobs(session, limit=FEW // 2)[-1]


def _worker(farm: Farm, number: int) -> WorkerIdentity:
    engine = str(farm.settings.engine_of(Model.V4))
    versions = {"engines": [engine], "perception": PERCEPTION_VERSION, "plan": PLAN_VERSION}
    return WorkerIdentity(f"trial-{number}", stages.QUEUES[Model.V4], versions)


def _messages(farm: Farm) -> list[int]:
    """How many messages of the pool lay in Redis at each look, taken or not, while its workers worked."""
    with farm.database.begin() as session:
        for number in range(WORKERS):
            pools.forget_worker(session, _worker(farm, number).name)
    for _ in range(WORKERS):
        farm.add_worker("v4")
    farm.add_dispatcher()
    farm.wait_ready()
    broker, seen = farm.broker(), []
    until = time.monotonic() + _WATCHED_SECONDS
    while time.monotonic() < until:
        seen.append(broker.llen(stages.QUEUES[Model.V4]) + broker.hlen("unacked"))
        time.sleep(0.02)
    broker.close()
    return seen
