"""Characters and scenes that are prepared once and rendered often, and the templates made of scenes.

What an asset is made of belongs to the job that prepared it, and so does its status. A template is a
scene that stands on another one's files, and so is its import: their jobs have nothing left to do.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from pipeline.spec import CHARACTER, SCENE, Plan, RenderSpec
from renderfarm import free, holdings, jobs
from renderfarm.db import new_id
from renderfarm.errors import FarmError
from renderfarm.jobs import NewJob, Submitted
from renderfarm.models import FINAL, Asset, Job, JobKind, JobStatus
from renderfarm.settings import Settings

__all__ = [
    "delete",
    "find",
    "import_template",
    "made_by",
    "page",
    "prepare",
    "publish",
    "templates",
    "unpublish",
]

#: How the ids of each kind begin, and what says that there is none.
_PREFIX = {JobKind.CHARACTER: "char", JobKind.SCENE: "scene"}
MISSING = {JobKind.CHARACTER: "CS-ORIV-008", JobKind.SCENE: "CS-ORIV-009"}
_STAGES = {JobKind.CHARACTER: CHARACTER, JobKind.SCENE: SCENE}
_NO_TEMPLATE = "CS-UORC01-120"


def prepare(
    session: Session, settings: Settings, account_id: str, kind: JobKind, name: str, new: NewJob
) -> Asset:
    """A new character or scene, and the free job that prepares it from the inputs of ``new``.

    Raises CS-UORC01-118 where the account has had enough for nothing today.
    """
    free.check_preprocess(session, settings, account_id)
    whole = replace(new, kind=kind, stages=_STAGES[kind], mode="full_pipeline", credits=0)
    job = jobs.submit(session, settings, account_id, whole)
    return _add(session, Asset(id=new_id(_PREFIX[kind]), kind=kind.value, name=name), job)


def find(session: Session, account_id: str, kind: JobKind, asset_id: str) -> Asset:
    """The account's asset; CS-ORIV-008 or -009 where it has none of that id."""
    asset = None
    if asset_id.isascii() and asset_id.isprintable():  # PostgreSQL takes no NUL in a text
        asset = session.get(Asset, asset_id, populate_existing=True)
    if (
        asset is None
        or (asset.account_id, asset.kind) != (account_id, kind)
        or asset.deleted_at is not None
        or asset.published_at is not None
    ):
        raise FarmError(MISSING[kind])
    return asset


def made_by(session: Session, job_id: str) -> Asset:
    """The asset that the job prepares; there has to be one."""
    return session.scalars(select(Asset).where(Asset.job_id == job_id)).one()


def page(
    session: Session, account_id: str, kind: JobKind, before: str | None = None, limit: int = 50
) -> list[Asset]:
    """The account's assets of a kind, newest first; ``before`` is the id of the last of the page before."""
    query = select(Asset).where(
        Asset.account_id == account_id,
        Asset.kind == kind,
        Asset.deleted_at.is_(None),
        Asset.published_at.is_(None),
    )
    if before is not None:
        cursor = select(Asset.created_at, Asset.id).where(Asset.id == before, Asset.account_id == account_id)
        query = query.where(tuple_(Asset.created_at, Asset.id) < cursor.scalar_subquery())
    return list(session.scalars(query.order_by(Asset.created_at.desc(), Asset.id.desc()).limit(limit)))


def delete(session: Session, settings: Settings, asset: Asset) -> None:
    """Hide the asset, and end its job where that is still at work."""
    job = jobs.lock(session, asset.job_id)
    if job is not None and job.status not in FINAL:
        jobs.cancel(session, asset.account_id, job.id, settings)
    holdings.hide(session, settings, asset)


def publish(session: Session, settings: Settings, scene_id: str, name: str) -> Asset:
    """A template made of a ready scene; it stays when the scene is deleted. CS-ORIV-009, -010."""
    scene = session.get(Asset, scene_id, populate_existing=True)
    if scene is None or scene.kind != JobKind.SCENE or scene.deleted_at or scene.published_at:
        raise FarmError("CS-ORIV-009")
    template = _stand_on(session, settings, scene, scene.account_id, "template", name)
    template.published_at = session.scalar(select(func.now()))
    session.flush()
    return template


def unpublish(session: Session, settings: Settings, template_id: str) -> bool:
    """Nobody can import the template any more; False where there is none. Its imports stay."""
    template = session.get(Asset, template_id, populate_existing=True)
    if template is None or template.published_at is None or template.deleted_at is not None:
        return False
    delete(session, settings, template)
    return True


def templates(session: Session) -> list[Asset]:
    """What every account may import, the newest first."""
    public = Asset.published_at.is_not(None) & Asset.deleted_at.is_(None)
    return list(session.scalars(select(Asset).where(public).order_by(Asset.published_at.desc(), Asset.id)))


def import_template(
    session: Session, settings: Settings, account_id: str, template_id: str, name: str
) -> Asset:
    """A ready scene of the account's, made from a template; CS-UORC01-120 where there is none."""
    template = session.get(Asset, template_id, populate_existing=True)
    if template is None or template.published_at is None or template.deleted_at is not None:
        raise FarmError(_NO_TEMPLATE)
    return _stand_on(session, settings, template, account_id, "scene", name)


def _stand_on(
    session: Session, settings: Settings, scene: Asset, account_id: str, prefix: str, name: str
) -> Asset:
    """A scene that uses another's files; its job is complete at once."""
    made = session.get_one(Job, scene.job_id, populate_existing=True)
    if made.status != JobStatus.COMPLETE:
        raise FarmError("CS-ORIV-010")
    new = NewJob(
        spec=RenderSpec.from_json(made.spec),
        plan=Plan.from_json(made.plan),
        video=made.known_video,
        inputs=made.inputs,
        mode=made.mode,
        credits=0,
        kind=JobKind.SCENE,
        stages=(),
        notes=made.notes,
        assets=(scene.id,),
        facts=made.facts,
        lent={"": (made.id, "")},
    )
    try:
        job = jobs.submit(session, settings, account_id, new)
    except FarmError as error:
        if error.code != "CS-ORIV-010":
            raise
        # The scene was deleted just now.
        raise FarmError(_NO_TEMPLATE if scene.published_at else "CS-ORIV-009") from error
    session.get_one(Job, job.id).outputs = made.outputs
    owner = scene.source_id or scene.id
    asset = Asset(id=new_id(prefix), kind=JobKind.SCENE.value, name=name, source_id=owner)
    return _add(session, asset, job)


def _add(session: Session, asset: Asset, job: Submitted) -> Asset:
    asset.account_id, asset.job_id = job.account_id, job.id
    session.add(asset)
    session.flush()
    return asset
