"""What must hold after any fault: of rows, money, artifacts, the store, the disk and the processes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from sqlalchemy import select, text

from renderfarm import credits, holdings
from renderfarm.db import Database
from renderfarm.local.processes import members
from renderfarm.models import Artifact, Asset, Job, JobKind
from renderfarm.settings import Settings
from renderfarm.storage import NotStored, Storage, checksum
from renderfarm.trial.farm import Farm
from renderfarm.trial.waiting import InVain, until

#: The SHA-256 of each of a finished job's outputs, by its name.
Digests = Mapping[str, str]
#: The digests of an undisturbed job's outputs, for each plan.
Truth = Mapping[str, Digests]


class Kept(Protocol):
    """What a farm has, whoever runs it."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def store(self) -> Storage: ...


#: Queries that find nothing in a farm that has lost nothing, by what a row of theirs would be.
_ROWS: Mapping[str, str] = {
    "a job did not end": """
        SELECT id, status FROM jobs WHERE status NOT IN ('complete', 'failed', 'cancelled')""",
    "a hold was not settled, or not in full": """
        SELECT j.id, s.captured, s.returned, j.credits FROM jobs j LEFT JOIN settlements s ON s.job_id = j.id
        WHERE s.job_id IS NULL OR s.captured + s.returned <> coalesce(j.credits, 0)""",
    "a job was charged that did not finish, or one was not that did": """
        SELECT j.id, j.status, s.captured FROM jobs j JOIN settlements s ON s.job_id = j.id
        WHERE (j.status = 'complete' AND j.credits > 0) <> (s.captured > 0)""",
    "a job's entries are not its hold and its settlement": """
        SELECT j.id, count(*) FILTER (WHERE e.kind = 'hold') FROM jobs j
        JOIN settlements s ON s.job_id = j.id LEFT JOIN ledger_entries e ON e.job_id = j.id
        GROUP BY j.id, s.job_id
        HAVING count(*) FILTER (WHERE e.kind = 'hold') <> (coalesce(j.credits, 0) > 0)\\:\\:int
            OR sum(e.held_delta) <> 0 OR sum(e.available_delta) <> -s.captured""",
    "an account's sums are not those of its entries": """
        SELECT a.id, a.available, a.held FROM accounts a JOIN ledger_entries e ON e.account_id = a.id
        GROUP BY a.id HAVING sum(e.available_delta) <> a.available OR sum(e.held_delta) <> a.held""",
    "credits are held for nobody": "SELECT id, held FROM accounts WHERE held <> 0",
    "a unit was left open": """
        SELECT id, status FROM units WHERE status IN ('waiting', 'admitted', 'running')""",
    "a finished job has an unfinished unit": """
        SELECT u.id, u.status FROM units u JOIN jobs j ON j.id = u.job_id
        WHERE j.status = 'complete' AND u.status <> 'done' AND NOT j.notes ? 'versions'""",
    "a claim did not end, or ended twice": """
        SELECT u.id, u.attempt, count(a.unit_id) FROM units u LEFT JOIN attempts a ON a.unit_id = u.id
        GROUP BY u.id HAVING count(a.unit_id) <> u.attempt""",
    "a unit is done without one attempt that did it": """
        SELECT u.id, u.status FROM units u JOIN jobs j ON j.id = u.job_id
        LEFT JOIN attempts a ON a.unit_id = u.id WHERE NOT j.notes ? 'versions'
        GROUP BY u.id HAVING count(*) FILTER (WHERE a.outcome = 'done') <> (u.status = 'done')\\:\\:int""",
    "garbage is left": "SELECT key FROM garbage",
    "a worker is left": "SELECT name FROM workers WHERE seen_at > now() - interval '2 seconds'",
}


def end(farm: Farm) -> list[str]:
    """Bring the farm to rest: workers leave, garbage is collected, the dispatchers leave. What went wrong."""
    wrong = []
    farm.tend()
    for process in [*farm.workers, *([farm.api] if farm.api else [])]:
        if process.alive:
            process.resume()
            process.terminate()
    for process in [*farm.workers, *([farm.api] if farm.api else [])]:
        try:
            if process.pid:
                process.wait_end(40)
        except InVain as error:
            wrong.append(str(error))
    collect_garbage(farm, farm.tend)
    for dispatcher in farm.dispatchers:
        if dispatcher.alive:
            dispatcher.stop()
    try:
        spared = {each.pid for each in farm.redis.family()}
        until(lambda: {each.pid for each in members(str(farm.folder))} <= spared, 5)
    except InVain:
        wrong += [
            f"a process is left: {each}" for each in members(str(farm.folder)) if each.pid not in spared
        ]
    return wrong


def collect_garbage(farm: Kept, tend: Callable[[], object] = lambda: None) -> None:
    """Turn the time forward for what is garbage, and wait until the sweeper has it, or half a minute."""

    def collected() -> bool:
        tend()
        with farm.database.begin() as session:
            session.execute(text("UPDATE garbage SET after = now() - interval '1 second'"))
            return not session.scalar(text("SELECT count(*) FROM garbage"))

    try:
        until(collected, 30)
    except InVain:
        return  # the rows will tell


def judge(farm: Farm, truth: Truth) -> list[str]:
    """Everything that is wrong with a farm at rest, beside the truth."""
    made = outputs(farm)
    return [
        *whole(farm, made),
        *(
            f"{job_id}: the outputs are not those of an undisturbed job: {digests}"
            for job_id, digests in made.items()
            if digests != truth[plan_of(farm, job_id)]
        ),
    ]


def whole(farm: Kept, made: Mapping[str, Digests]) -> list[str]:
    """Whatever is lost or left of a farm at rest, whose finished renders have ``made`` this."""
    return [*rows(farm), *_artifacts(farm, made), *_store(farm), *_work(farm)]


def outputs(farm: Kept) -> dict[str, Digests]:
    """What each finished render has made, of the bytes that are stored."""
    with farm.database.begin() as session:
        renders = (Job.status == "complete") & (Job.kind == JobKind.RENDER)
        complete = session.execute(select(Job.id, Job.outputs).where(renders)).all()
    return {job_id: _digests(farm, keys) for job_id, keys in complete}


def digests(farm: Farm, job_id: str) -> Digests:
    """What a finished job has made, of the bytes that are stored."""
    return _digests(farm, farm.job(job_id).outputs)


def _digests(farm: Kept, keys: Mapping[str, str]) -> Digests:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, key in keys.items():
            try:
                found[name] = checksum(farm.store.fetch(key, Path(folder))).sha256
            except NotStored:
                found[name] = "not stored"
    return found


def rows(farm: Kept) -> list[str]:
    """What is wrong with the rows alone."""
    wrong = []
    with farm.database.begin() as session:
        for what, query in _ROWS.items():
            wrong += [f"{what}: {', '.join(map(str, row))}" for row in session.execute(text(query))]
        if credits.mismatches(session):
            wrong.append("the ledger does not add up")
    return wrong


def plan_of(farm: Farm, job_id: str) -> str:
    """The job's plan as a text."""
    return json.dumps(farm.job(job_id).plan, sort_keys=True)


def _artifacts(farm: Kept, made: Mapping[str, Digests]) -> list[str]:
    with farm.database.begin() as session:
        rows = {(row.job_id, row.name): row.sha256 for row in session.scalars(select(Artifact))}
    return [
        f"{job_id}: {name} is not what its row says"
        for job_id, digests in made.items()
        for name, digest in digests.items()
        if rows.get((job_id, name)) != digest
    ]


def _store(farm: Kept) -> list[str]:
    owned: set[str] = set()
    with farm.database.begin() as session:
        for job in session.scalars(select(Job).where(Job.status == "complete")):
            if job.kind == JobKind.RENDER:
                owned |= {*holdings.own_inputs(session, job), *job.outputs.values()}
        ready = (Job.status == "complete") & (Job.id == Asset.job_id) & Asset.deleted_at.is_(None)
        for job in session.scalars(select(Job).join(Asset, ready)):
            owned |= {*job.inputs.values(), *job.outputs.values()}
            owned |= set(session.scalars(select(Artifact.key).where(Artifact.job_id == job.id)))
    stored = set(_stored(farm))
    return [
        *(f"an orphan in the store: {key}" for key in sorted(stored - owned)),
        *(f"gone from the store: {key}" for key in sorted(owned - stored)),
    ]


def _stored(farm: Kept) -> Collection[str]:
    """The keys in the store; where it is a folder, everything in it, half-written files too."""
    parts = urlsplit(farm.settings.storage_url)
    if parts.scheme != "file":
        return list(farm.store.list(""))
    root = Path(parts.path)
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def _work(farm: Kept) -> list[str]:
    folder = farm.settings.work_dir
    left = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    return [f"left in the workers' folder: {name}" for name in left if name != ".lock"]
