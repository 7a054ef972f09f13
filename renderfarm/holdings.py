"""Whose files are whose: what jobs use of assets, and when an asset's bytes may go.

A deleted asset is hidden at once. Its files go with the last open job that uses them, and never while a
template or an import stands on them. Assets are locked after jobs and units, and before accounts.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from renderfarm import garbage
from renderfarm.errors import FarmError
from renderfarm.models import FINAL, Artifact, Asset, AssetUse, Job, JobKind
from renderfarm.settings import Settings

#: Artifacts that only other stages of the same job need.
_PASSING = ("piece-", "sample-")


def own_inputs(session: Session, job: Job) -> list[str]:
    """The storage keys of a job's inputs that no asset has lent it."""
    lenders = (
        select(Job.inputs)
        .join(Asset, Asset.job_id == Job.id)
        .join(AssetUse, AssetUse.asset_id == Asset.id)
        .where(AssetUse.job_id == job.id)
    )
    lent = {key for inputs in session.scalars(lenders) for key in inputs.values()}
    return [key for key in job.inputs.values() if key not in lent]


def delete_files(session: Session, settings: Settings, account_id: str, job_id: str) -> None:
    """The files of the account's ended render are garbage at once: its outputs, and inputs of its own.

    Asked again it changes nothing. CS-UORC01-110 where there is no such render, -124 before its end.
    """
    job = session.get(Job, job_id, with_for_update=True, populate_existing=True)
    if job is None or (job.account_id, job.kind) != (account_id, JobKind.RENDER):
        raise FarmError("CS-UORC01-110")
    if job.status not in FINAL:
        raise FarmError("CS-UORC01-124")
    drop_inputs(session, settings, job)
    drop_outputs(session, settings, job)


def drop_inputs(session: Session, settings: Settings, job: Job) -> None:
    """The ended render has no inputs any more; what is its own is garbage at once."""
    garbage.throw(session, settings, own_inputs(session, job), 0)
    job.inputs = {}


def drop_outputs(session: Session, settings: Settings, job: Job) -> None:
    """The ended render has nothing to show any more, and says since when."""
    garbage.throw(session, settings, job.outputs.values(), 0)
    job.outputs = {}
    if job.files_deleted_at is None:
        job.files_deleted_at = session.scalar(select(func.now()))


def shed(session: Session, settings: Settings, job: Job) -> None:
    """The job has prepared an asset: what its renders do not need, dead attempts' files too, is garbage."""
    passing = or_(*(Artifact.name.startswith(name) for name in _PASSING))
    session.execute(delete(Artifact).where(Artifact.job_id == job.id, passing))
    garbage.throw(session, settings, [f"work/{job.id}/*"])


def give_back(session: Session, settings: Settings, job_id: str) -> None:
    """The job has ended: what it alone has kept of deleted assets becomes garbage."""
    used = select(AssetUse.asset_id).where(AssetUse.job_id == job_id)
    _let_go(session, settings, session.scalars(used).all())


def hide(session: Session, settings: Settings, asset: Asset) -> None:
    """Nobody finds the asset any more, and its bytes go when nobody needs them."""
    session.execute(update(Asset).where(Asset.id == asset.id).values(deleted_at=func.now()))
    _let_go(session, settings, {asset.id, asset.source_id or asset.id})


def _let_go(session: Session, settings: Settings, asset_ids: Iterable[str]) -> None:
    locked = select(Asset.id).where(Asset.id.in_(set(asset_ids))).order_by(Asset.id).with_for_update()
    ids = session.scalars(locked).all()
    heir = aliased(Asset)
    in_use = exists().where(
        AssetUse.asset_id == Asset.id, AssetUse.job_id == Job.id, Job.status.not_in(FINAL)
    )
    stood_on = exists().where(heir.source_id == Asset.id, heir.deleted_at.is_(None))
    free = Asset.deleted_at.is_not(None) & Asset.source_id.is_(None) & ~in_use & ~stood_on
    for job_id in session.scalars(select(Asset.job_id).where(Asset.id.in_(ids), free)).all():
        job = session.get_one(Job, job_id)
        garbage.throw(session, settings, [f"work/{job_id}/", *job.inputs.values(), *job.outputs.values()])
