"""Characters and scenes on their way in: one picture or one video, a name, and a job that costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from flask import Response

from api.context import Farm
from api.fields import Fields
from api.forms import read_form
from api.idempotent import idempotent
from api.schemas import with_upload_ids
from api.uploads import Source, Uploads
from pipeline.spec import VideoInfo
from renderfarm import assets, fetch, idempotency, media, moderation
from renderfarm.accounts import Principal
from renderfarm.errors import FarmError
from renderfarm.idempotency import Hold, Settled
from renderfarm.jobs import NewJob
from renderfarm.models import Asset, Job, JobKind, JobStatus
from renderfarm.uploads import Kind

#: What may be refused of a preparation, besides its key.
REFUSALS = (
    *("CS-ORIV-003", "CS-ORIV-006", "CS-ORIV-007", "CS-ORIV-014"),
    *("CS-UORC01-002", "CS-UORC01-113", "CS-UORC01-116", "CS-UORC01-117", "CS-UORC01-118"),
    *("CS-UORC01-122", "CS-UORC01-123"),
)
#: An asset's status is its job's.
STATUSES = {
    JobStatus.QUEUED: "pending",
    JobStatus.PROCESSING: "processing",
    JobStatus.COMPLETE: "ready",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "failed",
}

F = TypeVar("F", bound=Fields)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An asset, and the job that prepares it."""

    asset: Asset
    job: Job


@dataclass(frozen=True, slots=True)
class Judged:
    """What came out of a look at the file."""

    video: VideoInfo | None = None
    source: str = ""
    notes: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one kind is prepared: the field and the kind of its file, and the code where it is not there."""

    kind: JobKind
    field: str
    #: What its job calls the file.
    role: str
    upload: Kind
    missing: str
    judge_head: Callable[[bytes], None]
    judge: Callable[[Farm, str], Judged]


def picture_of(here: Farm, key: str) -> Judged:
    """Judge the picture of a character."""
    media.judge_picture(here.settings, here.storage, key)
    return Judged()


def video_of(here: Farm, key: str) -> Judged:
    """Judge the video of a scene."""
    found = media.judge_video(here.settings, here.storage, key)
    return Judged(found.video, found.source, dict(found.notes))


CHARACTER = Recipe(
    JobKind.CHARACTER, "image", "picture", "image", "CS-ORIV-001", media.judge_picture_head, picture_of
)
SCENE = Recipe(JobKind.SCENE, "video", "video", "video", "CS-ORIV-002", media.judge_video_head, video_of)


def prepare(
    here: Farm,
    account: Principal,
    recipe: Recipe,
    form: type[F],
    new: Callable[[Farm, F, Judged], NewJob],
    name: Callable[[F], str],
) -> tuple[Prepared, bool]:
    """Take the request's file and begin its preparation; whether it was begun before, under its key.

    ``new`` makes the job, but for its inputs, from the fields and what was judged: nothing of a file
    that workers are to fetch.
    """
    with idempotent(here, account.id) as key:
        if isinstance(key, Settled):
            return _again(here, account.id, key, recipe, form), True
        return _take(here, account.id, key, recipe, form, new, name), False


def found(here: Farm, account: Principal, kind: JobKind, asset_id: str) -> Prepared:
    """The account's asset and its job; CS-ORIV-008 or -009 where there is none."""
    with here.database.begin() as session:
        asset = assets.find(session, account.id, kind, asset_id)
        return Prepared(asset, session.get_one(Job, asset.job_id))


def paged(
    here: Farm, account: Principal, kind: JobKind, cursor: str | None, limit: int
) -> tuple[list[Prepared], str | None]:
    """A page of the account's assets, and where the next begins."""
    with here.database.begin() as session:
        rows = assets.page(session, account.id, kind, cursor, limit + 1)
        shown = [Prepared(asset, session.get_one(Job, asset.job_id)) for asset in rows[:limit]]
    return shown, rows[limit - 1].id if len(rows) > limit else None


def removed(here: Farm, account: Principal, kind: JobKind, asset_id: str) -> None:
    """Hide the account's asset."""
    with here.database.begin() as session:
        assets.delete(session, here.settings, assets.find(session, account.id, kind, asset_id))


def accepted(body: Response, replayed: bool) -> Response:
    """The answer to a preparation, marked where it had been given before."""
    if replayed:
        body.headers["Idempotency-Replayed"] = "true"
    return body


def _read(here: Farm, uploads: Uploads, recipe: Recipe, form: type[F]) -> tuple[F, Source | str]:
    """The fields, and the file or the address of it."""
    sent = read_form(uploads.open_part)
    fields = with_upload_ids({field: value.strip() for field, value in sent.fields.items()})
    asked = form.read(fields)
    file: Source | None = uploads.take(sent, recipe.field)
    upload_id = fields.get(f"{recipe.field}_upload_id") or fields.get("upload_id") or None
    url = fields.get(f"{recipe.field}_url") or None
    if sum(given is not None for given in (file, upload_id, url)) > 1:
        raise FarmError("CS-UORC01-002", f"Give only one of {recipe.field}, upload_id, {recipe.field}_url.")
    if url:
        fetch.check_address(here.settings, url)
        return asked, url
    if upload_id:
        file = uploads.claim(upload_id, recipe.upload)
    if file is None:
        raise FarmError(recipe.missing)
    return asked, file


def _fingerprint(recipe: Recipe, asked: Fields, file: Source | str) -> str:
    fields = asked.model_dump(mode="json", exclude_defaults=True, exclude={"upload_id"})
    content = file if isinstance(file, str) else file.sha256
    return idempotency.fingerprint({"kind": recipe.kind.value, **fields}, {recipe.field: content})


def _take(
    here: Farm,
    account_id: str,
    hold: Hold | None,
    recipe: Recipe,
    form: type[F],
    new: Callable[[Farm, F, Judged], NewJob],
    name: Callable[[F], str],
) -> Prepared:
    with Uploads(here, account_id, hold) as uploads:
        asked, file = _read(here, uploads, recipe, form)
        judged = Judged()
        if not isinstance(file, str):
            recipe.judge_head(file.head)
            uploads.commit(file)
            with here.probing.turn(account_id):
                uploads.goes_on()
                judged = recipe.judge(here, file.key)
        order = moderation.Request(
            account_id=account_id,
            kind=recipe.kind.value,
            sha256={} if isinstance(file, str) else {recipe.field: file.sha256},
            keys={} if isinstance(file, str) else {recipe.field: file.key},
            fields=asked.model_dump(mode="json", exclude_defaults=True),
        )
        moderation.moderate(here.settings, order)
        uploads.submitting()
        # Before the transaction: it may read by one of its own, and two at once can use up a pool.
        job = new(here, asked, judged)
        if isinstance(file, str):
            job = replace(job, urls={recipe.role: file})
        else:
            job = replace(job, inputs={recipe.role: file.key})
        with here.database.begin() as session:
            uploads.settle(session)
            asset = assets.prepare(session, here.settings, account_id, recipe.kind, name(asked), job)
            if hold:
                fingerprint = _fingerprint(recipe, asked, file)
                idempotency.settle(session, here.settings, hold, fingerprint, asset.job_id)
            return Prepared(asset, session.get_one(Job, asset.job_id))


def _again(here: Farm, account_id: str, settled: Settled, recipe: Recipe, form: type[F]) -> Prepared:
    with Uploads(here, account_id, keeps=False) as uploads:
        asked, file = _read(here, uploads, recipe, form)
        if not isinstance(file, str):
            uploads.commit(file)
        if _fingerprint(recipe, asked, file) != settled.fingerprint:
            raise FarmError("CS-UORC01-113")
    with here.database.begin() as session:
        return Prepared(assets.made_by(session, settled.job.id), settled.job)
