"""Renders: take one, show one, list them, cancel one."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from api.auth import require_account
from api.context import Farm, answer, farm
from api.forms import Form, read_form
from api.pages import page_size
from api.schemas import Accepted, JobAnswer, JobPage, Progress, RenderForm
from api.uploads import Upload, Uploads
from pipeline.spec import Model, plan_for
from renderfarm import crash, jobs, media, places
from renderfarm.errors import FarmError
from renderfarm.models import Job, JobStatus

blueprint = Blueprint("render", __name__, url_prefix="/api/render")

_JOB_ID = re.compile(r"job_[a-z0-9]{24}")


@blueprint.post("")
def submit() -> Response:
    """Take a render: the key first, then the body, then what it holds, then the credits."""
    account = require_account()
    if account.available < 1:
        raise FarmError("CS-ORCR-001")  # no render costs less: do not let them upload in vain
    if request.headers.get("Idempotency-Key"):
        # To ignore it would charge twice whoever relies on it.
        raise FarmError("CS-UORC01-002", "This farm does not honour `Idempotency-Key`; send without it.")
    here = farm()
    with Uploads(here, account.id) as uploads:
        form = read_form(uploads.open_part)
        asked = RenderForm.read(form.fields)
        spec = asked.spec()
        picture, video = _sources(asked, form, uploads)
        media.judge_picture_head(picture.head)
        media.judge_video_head(video.head)
        uploads.commit(picture, video)
        media.judge_picture(here.settings, here.storage, picture.key)
        judged = media.judge_video(here.settings, here.storage, video.key)
        new = jobs.NewJob(
            spec=spec,
            plan=plan_for(spec.model, engine=here.settings.engine_of(spec.model)),
            video=judged.video,
            inputs={"picture": picture.key, "video": video.key},
            mode="full_pipeline",
            credits=media.price(judged.video),
            notes=judged.notes,
        )
        uploads.submitting()
        crash.here(here.settings, crash.Point.UPLOADED)
        with here.database.begin() as session:
            job = jobs.submit(session, here.settings, account.id, new)
    crash.here(here.settings, crash.Point.SUBMITTED)
    body = Accepted.model_validate(
        {"job_id": job.id, "status": job.status, "mode": job.mode, "enqueued_at": job.created_at}
    )
    return answer(body, 202)


@blueprint.get("/<job_id>")
def show(job_id: str) -> Response:
    """A job, to whoever knows its id."""
    with farm().database.begin() as session:
        job = jobs.get(session, job_id) if _JOB_ID.fullmatch(job_id) else None
        if job is None:
            raise FarmError("CS-UORC01-110")
        return answer(_describe(farm(), session, job))


@blueprint.get("")
def page() -> Response:
    """The account's jobs, newest first."""
    account = require_account()
    limit, cursor = page_size(), request.args.get("cursor") or None
    status = request.args.get("status") or None
    if cursor and not _JOB_ID.fullmatch(cursor):
        raise FarmError("CS-UORC01-002", "`cursor` is not one that a page has given.")
    if status and status not in set(JobStatus):
        raise FarmError("CS-UORC01-002", f"`status` is none of {', '.join(JobStatus)}.")
    with farm().database.begin() as session:
        found = jobs.list_jobs(session, account.id, status, cursor, limit + 1)
        described = [_describe(farm(), session, job) for job in found[:limit]]
    following = described[-1].job_id if len(found) > limit else None
    return answer(JobPage(jobs=described, next_cursor=following))


@blueprint.delete("/<job_id>")
def cancel(job_id: str) -> Response:
    """End a job and give its credits back."""
    account = require_account()
    if not _JOB_ID.fullmatch(job_id):
        raise FarmError("CS-UORC01-110")
    with farm().database.begin() as session:
        job = jobs.cancel(session, account.id, job_id, farm().settings)
        session.flush()
        session.refresh(job)
        return answer(_describe(farm(), session, job))


def _sources(asked: RenderForm, form: Form, uploads: Uploads) -> tuple[Upload, Upload]:
    """The picture and the video; raises the code of what is missing, doubled, or not to be had."""
    picture, video = uploads.take(form, "ref_image"), uploads.take(form, "driving_video")
    for given, names in (
        ((picture, asked.ref_image_url, asked.character_id), "ref_image, ref_image_url, character_id"),
        ((video, asked.driving_video_url, asked.scene_id), "driving_video, driving_video_url, scene_id"),
    ):
        if sum(source is not None for source in given) > 1:
            raise FarmError("CS-UORC01-002", f"Give only one of {names}.")
    if asked.character_mapping and not asked.scene_id:
        raise FarmError("CS-ORIV-012", "`character_mapping` names people of a scene: it needs `scene_id`.")
    if asked.character_id:
        raise FarmError("CS-ORIV-008")
    if asked.scene_id:
        raise FarmError("CS-ORIV-009")
    if asked.ref_image_url or asked.driving_video_url:
        raise FarmError("CS-ORIV-014", "This farm fetches no addresses.")
    if picture is None:
        raise FarmError("CS-ORIV-001")
    if video is None:
        raise FarmError("CS-ORIV-002")
    if form.fields.get("webhook_url", "").strip():
        # To ignore it would leave whoever relies on it waiting for good.
        raise FarmError(
            "CS-UORC01-002", "This farm sends no webhooks: leave out `webhook_url` and ask for the job."
        )
    if asked.fast:
        raise FarmError("CS-UORC01-001")
    return picture, video


def _describe(here: Farm, session: Session, job: Job) -> JobAnswer:
    """The job for its users: addresses are made now, from keys."""
    progress = jobs.progress(session, job)
    urls = {name: here.storage.url(key) for name, key in job.outputs.items()}
    return JobAnswer(
        job_id=job.id,
        status=JobStatus(job.status),
        mode=job.mode,
        model=Model(job.model),
        checkpoint=job.checkpoint,
        progress_pct=progress.pct,
        queue_position=places.queue_position(session, job),
        cdn_url=urls.get("output"),
        mask_cdn_url=urls.get("mask"),
        thumbnail_url=urls.get("thumbnail"),
        error=job.error_message,
        error_code=job.error_code,
        error_message=job.error_message,
        progress=Progress(
            stage=progress.stage,
            done=progress.done,
            total=progress.total,
            pct=progress.pct,
            eta_seconds=progress.eta_seconds,
        ),
        result_url=urls.get("output"),
        notes=list(job.notes.values()),
        credits=job.credits,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
    )
