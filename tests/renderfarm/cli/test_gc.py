"""``farm gc``: the store and the rows side by side."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select, update

from pipeline.spec import Stage
from renderfarm import assets, garbage
from renderfarm.cdn import Public
from renderfarm.cli import main
from renderfarm.db import Database, after
from renderfarm.models import Artifact, Asset, Garbage, Job
from renderfarm.settings import Settings
from renderfarm.storage import Entry, FileStore, StorageError
from tests.renderfarm.farm import Farm
from tests.renderfarm.test_assets import prepare

HOUR = 3600


class Ground:
    """A farm, its store, and ``farm gc`` on both."""

    def __init__(self, database: Database, settings: Settings, tmp_path: Path) -> None:
        self.farm = Farm(database, settings)
        self.root = tmp_path / "store"
        self.store = FileStore(self.root, Public("http://x"))

    def put(self, *keys: str, age: float = 48 * HOUR) -> None:
        for key in keys:
            with self.store.writer(key) as out:
                out.write(b"bytes")
                out.commit()
            os.utime(self.root / key, times=(time.time() - age,) * 2)

    def gc(self, *words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(main, ["gc", *words])
        assert done.exit_code == code, done.output
        return done

    def found(self, *words: str) -> tuple[list[str], list[str], dict[str, Any]]:
        """The orphans, what is missing, and the rest of what it says."""
        done = self.gc("--json", *words)
        lines = [line.split() for line in done.stderr.splitlines()]
        orphans, missing = ([key for kind, key in lines if kind == each] for each in ("orphan", "missing"))
        return orphans, missing, json.loads(done.stdout)

    def put_all_that_is_claimed(self) -> None:
        """What each row says is there, or may be."""
        with self.farm.database.begin() as session:
            for job in session.scalars(select(Job)):
                self.put(*job.inputs.values(), *job.outputs.values())

    def put_artifacts(self, *job_ids: str) -> None:
        with self.farm.database.begin() as session:
            self.put(*session.scalars(select(Artifact.key).where(Artifact.job_id.in_(job_ids))))


@pytest.fixture
def ground(database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("FARM_STORAGE_URL", settings.storage_url)
    return Ground(database, settings, tmp_path)


def test_a_farm_at_work_has_neither_orphans_nor_missing_files(ground: Ground) -> None:
    farm = ground.farm
    account = farm.account(credit=100)
    done, running, cancelled = farm.submit(account), farm.submit(account), farm.submit(account)
    farm.do_all(done)
    farm.cancel(account, cancelled)
    scene = prepare(farm, account)
    ground.put_all_that_is_claimed()
    farm.do(running, Stage.ANALYSE)
    ground.put_artifacts(running, scene.job_id)
    ground.put(f"work/{running}/join-0/1/half-made")  # a worker writes it, and no row names it yet
    with farm.database.begin() as session:
        garbage.throw(session, farm.settings, ["in/acct/coming-in", "work/job_gone/", "work/job_kept/*"])
    ground.put("in/acct/coming-in", "work/job_gone/a/1/b", "work/job_kept/a/1/b")
    orphans, missing, rest = ground.found()
    assert (orphans, missing) == ([], [])
    assert rest["objects"] == len(list(ground.store.list("")))


def test_what_no_row_knows_is_an_orphan_once_it_is_old_enough(ground: Ground) -> None:
    job = ground.farm.submit(ground.farm.account())
    ground.farm.do_all(job)
    ground.put_all_that_is_claimed()
    lost = ["in/acct/lost", "out/job_0/a.mp4", f"out/{job}/older.mp4", "work/job_0/segment-0/1/segment-0000"]
    ground.put(*lost)
    ground.put("in/acct/just-now", age=HOUR)
    ground.put("elsewhere/of-another-program", "inside/x")
    orphans, missing, rest = ground.found()
    assert (orphans, missing) == (lost, [])
    assert (rest["orphans"], rest["young"], rest["deleted"]) == (4, 1, False)
    assert ground.store.exists("in/acct/lost")
    assert ground.found("--grace", "30m")[0] == ["in/acct/just-now", *lost]

    ground.gc("--delete")
    with ground.farm.database.begin() as session:
        assert set(lost) <= set(session.scalars(select(Garbage.key)))
        session.execute(update(Garbage).values(after=after(-1)))
    ground.gc()
    assert not any(ground.store.exists(key) for key in lost)
    assert ground.store.exists("elsewhere/of-another-program")
    assert all(ground.store.exists(key) for key in ground.farm.job(job).outputs.values())


def test_a_row_whose_object_is_gone_is_told(ground: Ground) -> None:
    farm, account = ground.farm, ground.farm.account(credit=100)
    done, opened, scene = farm.submit(account), farm.submit(account), prepare(farm, account)
    farm.do_all(done)
    with farm.database.begin() as session:
        session.get_one(Job, opened).inputs = {"picture": "in/b/picture", "video": "in/b/video"}
    ground.put_all_that_is_claimed()
    ground.put_artifacts(scene.job_id)
    gone = sorted(["in/b/video", f"out/{done}/output", "in/scene/video"])
    for key in gone:
        ground.store.delete(key)
    assert ground.found()[1] == gone
    with farm.database.begin() as session:  # what is deleted is not missing
        assets.delete(session, farm.settings, session.get_one(Asset, scene.id))
    assert ground.found()[1] == [key for key in gone if key != "in/scene/video"]


def test_a_store_of_which_most_would_go_is_the_wrong_one(ground: Ground) -> None:
    ground.put(*(f"out/job_{number}/a.mp4" for number in range(10)))
    ground.put(*(f"out/job_{number}/a.mp4" for number in range(10, 30)), age=HOUR)
    refused = ground.gc("--delete", code=1)
    assert "30 of 30 objects have no row" in refused.stderr
    with ground.farm.database.begin() as session:
        assert session.scalar(select(func.count()).select_from(Garbage)) == 0
    ground.gc("--delete", "--force")
    with ground.farm.database.begin() as session:
        assert session.scalar(select(func.count()).select_from(Garbage)) == 10


def test_a_store_that_lists_slowly_ends_no_transaction(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("renderfarm.db.IDLE_SECONDS", 0.3)
    monkeypatch.setattr(import_module("renderfarm.cli.gc"), "_PAGE", 1)
    entries = FileStore.entries

    def slow(store: FileStore, prefix: str) -> Iterator[Entry]:
        for entry in entries(store, prefix):
            yield entry
            time.sleep(0.7)  # longer than a transaction may say nothing

    monkeypatch.setattr(FileStore, "entries", slow)
    ground.put("out/job_0/a.mp4", "out/job_1/a.mp4")
    ground.gc("--delete")
    with ground.farm.database.begin() as session:
        assert len(session.scalars(select(Garbage.key)).all()) == 2


def test_a_store_that_is_away_is_told_in_words(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> Iterator[Entry]:
        raise StorageError("bucket: connection refused")

    monkeypatch.setattr(FileStore, "entries", away)
    assert "The store does not answer: bucket: connection refused" in ground.gc(code=1).stderr


def test_what_is_named_as_the_farm_names_nothing_is_not_its_own(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ground.farm.submit(ground.farm.account())
    ground.farm.do_all(job)
    ground.put_all_that_is_claimed()
    kept = sorted(ground.store.list(""))
    listed = FileStore.entries

    def entries(store: FileStore, prefix: str) -> Iterator[Entry]:
        """As a bucket has them in which somebody has made folders: each would stand for all that is in it."""
        made = [f"out/{job}/", f"out/{job}/*", "out/a name", "in/a/", prefix]
        others = [Entry(name, 0, 1.0) for name in made if name.startswith(prefix)]
        yield from sorted([*listed(store, prefix), *others], key=lambda entry: entry.key)

    monkeypatch.setattr(FileStore, "entries", entries)
    ground.gc("--delete", "--force")
    with ground.farm.database.begin() as session:
        session.execute(update(Garbage).values(after=after(-1)))
    ground.gc("--delete", "--force")
    assert sorted(entry.key for entry in listed(ground.store, "")) == kept
    with ground.farm.database.begin() as session:
        assert session.scalars(select(Garbage.key)).all() == []


def test_it_expires_and_collects_at_once(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_KEEP_OUTPUTS_DAYS", "1")
    job = ground.farm.submit(ground.farm.account())
    ground.farm.do_all(job)
    ground.put_all_that_is_claimed()
    ground.farm.turn_back(Job, job, "completed_at", 48 * HOUR)
    _, _, rest = ground.found()
    assert (rest["renders_expired"], rest["garbage_collected"]) == (1, 3)
    assert sorted(ground.store.list("")) == ["in/a/picture", "in/a/video"]
