"""Files of ended renders go when they have been kept for long enough."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from renderfarm import public, retention, views
from renderfarm.cdn import Public
from renderfarm.models import Garbage, Job
from renderfarm.settings import SettingsError
from renderfarm.storage import FileStore
from renderfarm.sweep import Sweeper
from tests.renderfarm.farm import Farm
from tests.renderfarm.test_assets import prepare

DAY = 24 * 3600


def kept(farm: Farm) -> set[str]:
    """The names of the outputs and inputs that are left, over all jobs."""
    with farm.database.begin() as session:
        return {name for job in session.scalars(select(Job)) for name in (*job.outputs, *job.inputs)}


def thrown(farm: Farm) -> set[str]:
    with farm.database.begin() as session:
        return set(session.scalars(select(Garbage.key)))


def test_outputs_and_inputs_go_each_after_their_own_time_and_the_job_stays_complete(
    farm: Farm, tmp_path: Path
) -> None:
    farm = farm.with_settings(keep_outputs_days=7.0, keep_uploads_days=2.0)
    sweeper = Sweeper(farm.settings, farm.database, FileStore(tmp_path, Public("http://x")))
    account = farm.account(credit=100)
    old, young, running = farm.submit(account), farm.submit(account), farm.submit(account)
    for job in (old, young):
        farm.do_all(job)
    farm.turn_back(Job, old, "completed_at", 3 * DAY)
    assert sweeper.expire_files() == 1
    shown = views.view(farm.database, old)
    assert shown is not None
    assert (farm.job(old).inputs, shown.files_deleted_at) == ({}, None)
    assert {"in/a/picture", "in/a/video"} <= thrown(farm)
    assert farm.job(running).inputs == farm.job(young).inputs != {}

    farm.turn_back(Job, old, "completed_at", 8 * DAY)
    assert sweeper.expire_files() == 1
    assert f"out/{old}/output" in thrown(farm)
    shown = views.view(farm.database, old)
    assert shown is not None
    assert shown.files_deleted_at is not None
    state = public.addressed(public.state_of(shown), Public("http://x").link)
    assert (state["status"], state["cdn_url"], state["cdn_url_expires_at"]) == ("complete", None, None)
    assert state["files_deleted_at"].endswith("Z")
    assert farm.job(young).outputs != {}
    assert sweeper.expire_files() == 0


def test_nothing_goes_where_no_time_is_set(farm: Farm) -> None:
    job = farm.submit(farm.account())
    farm.do_all(job)
    farm.turn_back(Job, job, "completed_at", 10_000 * DAY)
    before = kept(farm)
    with farm.database.begin() as session:
        assert retention.expire(session, farm.settings) == 0
    assert kept(farm) == before


def test_a_saved_character_or_scene_is_kept_and_so_is_what_a_render_was_lent(farm: Farm) -> None:
    farm = farm.with_settings(keep_outputs_days=1.0, keep_uploads_days=1.0)
    scene = prepare(farm, farm.account())
    farm.turn_back(Job, scene.job_id, "completed_at", 9 * DAY)
    render = farm.submit(farm.account(), assets=[scene.id])
    with farm.database.begin() as session:
        session.get_one(Job, render).inputs = farm.job(scene.job_id).inputs
    farm.do_all(render)
    farm.turn_back(Job, render, "completed_at", 9 * DAY)
    before = thrown(farm)
    with farm.database.begin() as session:
        assert retention.expire(session, farm.settings) == 1
    assert farm.job(render).inputs == farm.job(render).outputs == {}
    assert farm.job(scene.job_id).inputs != {}
    assert thrown(farm) - before == {f"out/{render}/{name}" for name in ("output", "mask", "thumbnail")}


def test_many_are_thrown_away_in_batches_the_oldest_first(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    farm = farm.with_settings(keep_outputs_days=1.0)
    account = farm.account(credit=100)
    jobs = [farm.submit(account) for _ in range(3)]
    for age, job in enumerate(jobs, 2):
        farm.do_all(job)
        farm.turn_back(Job, job, "completed_at", age * DAY)
    for left in (1, 0):
        with farm.database.begin() as session:
            retention.expire(session, farm.settings)
        assert sum(bool(farm.job(job).outputs) for job in jobs) == left
        assert bool(farm.job(jobs[0]).outputs) == bool(left)


def test_a_time_that_is_none_is_refused(farm: Farm) -> None:
    for days in (-1.0, float("nan"), 1e9):
        with pytest.raises(SettingsError, match="FARM_KEEP_OUTPUTS_DAYS"):
            farm.with_settings(keep_outputs_days=days)
