"""Characters, scenes and templates: who finds them, and how long their files stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update

from pipeline.spec import SCENE, Model, RenderSpec, plan_for
from renderfarm import assets
from renderfarm.cdn import Public
from renderfarm.errors import FarmError
from renderfarm.jobs import NewJob
from renderfarm.models import Account, Artifact, Asset, Garbage, JobKind
from renderfarm.storage import FileStore
from renderfarm.sweep import Sweeper
from tests.renderfarm.farm import VIDEO, Farm


def prepare(farm: Farm, account_id: str, *, ready: bool = True) -> Asset:
    """A scene of the account's."""
    new = NewJob(
        spec=RenderSpec(),
        plan=plan_for(Model.V4),
        video=VIDEO,
        inputs={"video": "in/scene/video"},
        mode="",
        credits=None,
    )
    with farm.database.begin() as session:
        scene = assets.prepare(session, farm.settings, account_id, JobKind.SCENE, "street", new)
    if ready:
        for stage in SCENE:
            farm.do(scene.job_id, stage)
    return scene


def delete(farm: Farm, scene: Asset) -> None:
    with farm.database.begin() as session:
        assets.delete(session, farm.settings, session.get_one(Asset, scene.id))


def thrown(farm: Farm, scene: Asset) -> bool:
    """Whether the scene's files are to go."""
    with farm.database.begin() as session:
        keys = set(session.scalars(select(Garbage.key)))
    assert (f"work/{scene.job_id}/" in keys) == ("in/scene/video" in keys)
    return "in/scene/video" in keys


def test_a_scene_is_prepared_for_nothing_and_keeps_its_files(farm: Farm) -> None:
    account = farm.account(credit=0)
    scene = prepare(farm, account)
    job = farm.job(scene.job_id)
    assert (job.status, job.credits, set(job.outputs)) == ("complete", 0, {"thumbnail", "portrait-0000"})
    assert not thrown(farm, scene)
    assert farm.money(account) == (0, 0)


def test_a_scene_that_cannot_be_prepared_keeps_nothing(farm: Farm) -> None:
    account = farm.account(credit=0)
    scene = prepare(farm, account, ready=False)
    delete(farm, scene)
    assert farm.job(scene.job_id).status == "cancelled"
    assert thrown(farm, scene)


def test_another_accounts_or_a_deleted_scene_is_not_found(farm: Farm) -> None:
    mine, other = farm.account(), farm.account()
    scene = prepare(farm, mine)
    with farm.database.begin() as session:
        assert assets.find(session, mine, JobKind.SCENE, scene.id).name == "street"
    delete(farm, scene)
    for account in (mine, other):
        with farm.database.begin() as session, pytest.raises(FarmError, match="CS-ORIV-009"):
            assets.find(session, account, JobKind.SCENE, scene.id)


def test_the_files_of_a_deleted_scene_go_with_the_last_open_job_that_uses_them(farm: Farm) -> None:
    account = farm.account()
    scene = prepare(farm, account)
    users = [farm.submit(account, assets=[scene.id]), farm.submit(account, assets=[scene.id])]
    delete(farm, scene)
    for job_id in users:
        assert not thrown(farm, scene)
        farm.cancel(account, job_id)
    assert thrown(farm, scene)


def test_a_template_outlives_its_scene_and_an_import_its_template(farm: Farm) -> None:
    mine, other = farm.account(), farm.account(credit=0)
    scene = prepare(farm, mine)
    with farm.database.begin() as session:
        template = assets.publish(session, farm.settings, scene.id, "Street")
    delete(farm, scene)
    with farm.database.begin() as session:
        assert [one.id for one in assets.templates(session)] == [template.id]
        imported = assets.import_template(session, farm.settings, other, template.id, "mine")
    with farm.database.begin() as session:
        assert assets.unpublish(session, farm.settings, template.id)
        assert assets.templates(session) == []
        with pytest.raises(FarmError, match="CS-UORC01-120"):
            assets.import_template(session, farm.settings, other, template.id, "again")
    assert not thrown(farm, scene)
    job = farm.job(imported.job_id)
    assert (job.account_id, job.status, "tracks" in farm.artifacts(job.id)) == (other, "complete", True)
    delete(farm, imported)
    assert thrown(farm, scene)
    assert farm.mismatches() == 0


def test_a_deleted_account_is_told_that_it_is_and_not_that_the_template_is_gone(farm: Farm) -> None:
    other = farm.account()
    scene = prepare(farm, farm.account())
    with farm.database.begin() as session:
        template = assets.publish(session, farm.settings, scene.id, "Street")
        session.execute(update(Account).where(Account.id == other).values(deleted_at=func.now()))
    with farm.database.begin() as session, pytest.raises(FarmError, match="CS-ORAU-002"):
        assets.import_template(session, farm.settings, other, template.id, "mine")


def test_a_ready_scene_has_what_its_renders_need_and_nothing_else(farm: Farm, tmp_path: Path) -> None:
    scene, store = prepare(farm, farm.account()), FileStore(tmp_path, Public("http://x"))
    kinds = {name.partition("-")[0] for name in farm.artifacts(scene.job_id)}
    assert kinds == {"tracks", "plate", "matte", "thumbnail", "portrait"}
    with farm.database.begin() as session:
        rows = session.scalars(select(Artifact).where(Artifact.job_id == scene.job_id))
        kept = {row.key for row in rows if row.key.startswith("work/")}
    dead = {f"work/{scene.job_id}/plate-0/9/plate", f"work/{scene.job_id}/analyse-0/1/piece-0000"}
    for key in kept | dead:
        with store.writer(key) as out:
            out.commit()
    with farm.database.begin() as session:
        session.execute(update(Garbage).values(after=func.now() - text("interval '1 second'")))
    Sweeper(farm.settings, farm.database, store).collect_garbage()
    assert set(store.list("work/")) == kept
