"""Renders: take one, show one, list them, cancel one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from flask import Blueprint, Response

from api.auth import SIGHT, require_sight
from api.context import Farm, answer, farm
from api.forms import Form, read_form
from api.idempotent import PARAMETER, idempotent
from api.operation import JOB, Body, operation
from api.pages import JobsQuery
from api.schemas import Accepted, JobAnswer, JobPage, RenderForm
from api.uploads import Source, Uploads
from pipeline.spec import Model, plan_for
from renderfarm import crash, fetch, idempotency, jobs, line, listing, media, moderation, public, views
from renderfarm.accounts import Principal
from renderfarm.errors import FarmError
from renderfarm.idempotency import Hold, Settled
from renderfarm.models import Job, JobKind, JobStatus
from renderfarm.stages import QUEUES
from renderfarm.views import JobView

blueprint = Blueprint("render", __name__, url_prefix="/api/render")

#: Fields that name a file, which a fingerprint holds by the name of its role.
_FILES = {"ref_image_upload_id", "driving_video_upload_id"}
_ORDER = Body(
    RenderForm,
    {
        "ref_image": "The character's picture: PNG, JPG or WebP.",
        "driving_video": "The driving video: MP4, MOV, WebM or AVI.",
    },
)
#: What an order can be refused with, besides its key.
_REFUSALS = (
    "CS-ORCR-001",
    *(f"CS-ORIV-{number:03}" for number in (1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 14)),
    *("CS-UORC01-001", "CS-UORC01-113", "CS-UORC01-116", "CS-UORC01-117", "CS-UORC01-122", "CS-UORC01-123"),
)


@blueprint.post("")
@operation(key=True, body=_ORDER, headers=(PARAMETER,), answers=Accepted, status=202, codes=_REFUSALS)
def submit(account: Principal) -> Response:
    """Take a render: the key first, then the body, then what it holds, then the credits."""
    here = farm()
    with idempotent(here, account.id) as key:
        if isinstance(key, Settled):
            return _again(here, account.id, key)
        if account.available < 1:
            raise FarmError("CS-ORCR-001")  # no render costs less: do not let them upload in vain
        return _accepted(_take(here, account.id, key))


@dataclass(frozen=True, slots=True)
class _Order:
    """What one request asks for, and the files it brings."""

    asked: RenderForm
    picture: Source
    video: Source

    @classmethod
    def read(cls, uploads: Uploads) -> Self:
        """Read the request's body."""
        form = read_form(uploads.open_part)
        asked = RenderForm.read(form.fields)
        return cls(asked, *_sources(asked, form, uploads))

    def to_judge(self, account_id: str) -> moderation.Request:
        """What moderation is told of it. The files have to be committed."""
        files = {"ref_image": self.picture, "driving_video": self.video}
        return moderation.Request(
            account_id=account_id,
            kind="render",
            model=self.asked.model,
            mode=jobs.FAST if self.asked.fast else "full_pipeline",
            sha256={name: file.sha256 for name, file in files.items()},
            keys={name: file.key for name, file in files.items()},
            fields=self.asked.model_dump(mode="json", exclude_defaults=True),
        )

    def fingerprint(self) -> str:
        """The same for the same order, however it is written down. The files have to be committed."""
        fields = self.asked.model_dump(mode="json", exclude_defaults=True, exclude=_FILES)
        return idempotency.fingerprint(
            fields, {"ref_image": self.picture.sha256, "driving_video": self.video.sha256}
        )


def _take(here: Farm, account_id: str, hold: Hold | None) -> Job:
    """The job of this request, submitted."""
    with Uploads(here, account_id, hold) as uploads:
        order = _Order.read(uploads)
        spec = order.asked.spec()
        if order.asked.webhook_url:
            fetch.check_address(here.settings, order.asked.webhook_url)
        media.judge_picture_head(order.picture.head)
        media.judge_video_head(order.video.head)
        if order.asked.fast:
            _refuse_without_room(here, spec.model)
        uploads.commit(order.picture, order.video)
        with here.probing.turn():
            uploads.goes_on()
            media.judge_picture(here.settings, here.storage, order.picture.key)
            judged = media.judge_video(here.settings, here.storage, order.video.key)
        moderation.moderate(here.settings, order.to_judge(account_id))
        price = media.price(judged.video)
        new = jobs.NewJob(
            spec=spec,
            plan=plan_for(spec.model, engine=here.settings.engine_of(spec.model)),
            video=judged.video,
            inputs={"picture": order.picture.key, "video": order.video.key},
            mode=jobs.FAST if order.asked.fast else "full_pipeline",
            credits=price * jobs.FAST_FACTOR if order.asked.fast else price,
            notes=judged.notes,
            source=judged.source,
            webhook_url=order.asked.webhook_url,
        )
        uploads.submitting()
        crash.here(here.settings, crash.Point.UPLOADED)
        with here.database.begin() as session:
            uploads.settle(session)
            job = jobs.submit(session, here.settings, account_id, new)
            if hold:
                idempotency.settle(session, here.settings, hold, order.fingerprint(), job.id)
        crash.here(here.settings, crash.Point.SUBMITTED)
        return job


def _again(here: Farm, account_id: str, settled: Settled) -> Response:
    """The answer that the key was settled with, to whoever sends the same once more."""
    with Uploads(here, account_id, keeps=False) as uploads:
        order = _Order.read(uploads)
        uploads.commit(order.picture, order.video)
        if order.fingerprint() != settled.fingerprint:
            raise FarmError("CS-UORC01-113")
    response = _accepted(settled.job)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _accepted(job: Job) -> Response:
    body = {
        "job_id": job.id,
        "status": JobStatus.QUEUED,  # as it was taken, whatever has become of it since
        "mode": job.mode,
        "enqueued_at": job.created_at,
    }
    return answer(Accepted.model_validate(body), 202)


@blueprint.get("/<job_id>")
@operation(path=JOB, answers=JobAnswer, codes=SIGHT)
def show(job_id: str) -> Response:
    """A job, to whoever knows its id."""
    here = farm()
    require_sight(job_id)
    return answer(_described(here, _seen(here, job_id)))


@blueprint.get("")
@operation(key=True, query=JobsQuery, answers=JobPage)
def page(account: Principal, query: JobsQuery) -> Response:
    """The account's jobs, newest first."""
    with farm().database.begin() as session:
        found = listing.list_jobs(
            session, account.id, query.status, query.cursor, query.limit + 1, JobKind.RENDER
        )
        ids = [job.id for job in found]
    following = ids[query.limit - 1] if len(ids) > query.limit else None
    seen = views.view_all(farm().database, ids[: query.limit])
    return answer(JobPage(jobs=[_described(farm(), job) for job in seen], next_cursor=following))


@blueprint.delete("/<job_id>")
@operation(key=True, path=JOB, answers=JobAnswer, codes=("CS-UORC01-112", "CS-UORC01-118"))
def cancel(job_id: str, account: Principal) -> Response:
    """End a job and give its credits back."""
    with farm().database.begin() as session:
        jobs.cancel(session, account.id, job_id, farm().settings)
    return answer(_described(farm(), _seen(farm(), job_id)))


def _sources(asked: RenderForm, form: Form, uploads: Uploads) -> tuple[Source, Source]:
    """The picture and the video; raises the code of what is missing, doubled, or not to be had."""
    picture: Source | None = uploads.take(form, "ref_image")
    video: Source | None = uploads.take(form, "driving_video")
    sent = asked.ref_image_upload_id, asked.driving_video_upload_id
    for given, names in (
        (
            (picture, sent[0], asked.ref_image_url, asked.character_id),
            "ref_image, ref_image_upload_id, ref_image_url, character_id",
        ),
        (
            (video, sent[1], asked.driving_video_url, asked.scene_id),
            "driving_video, driving_video_upload_id, driving_video_url, scene_id",
        ),
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
    if sent[0]:
        picture = uploads.claim(sent[0], "image")
    if sent[1]:
        video = uploads.claim(sent[1], "video")
    if picture is None:
        raise FarmError("CS-ORIV-001")
    if video is None:
        raise FarmError("CS-ORIV-002")
    return picture, video


def _refuse_without_room(here: Farm, model: Model) -> None:
    """CS-UORC01-001 before the files are stored and probed; the transaction that submits asks again."""
    with here.database.begin() as session:
        if not line.room_for_fast(session, here.settings, QUEUES[model]):
            raise FarmError("CS-UORC01-001")


def _seen(here: Farm, job_id: str) -> JobView:
    """The job of that id; CS-UORC01-110 where there is none."""
    job = views.view(here.database, job_id)
    if job is None:
        raise FarmError("CS-UORC01-110")
    return job


def _described(here: Farm, job: JobView) -> JobAnswer:
    """The job for its users: addresses are made now, from keys."""
    state = public.state_of(job, _place(here, job))
    return JobAnswer.model_validate(public.addressed(state, here.storage.url))


def _place(here: Farm, job: JobView) -> int | None:
    if job.status != JobStatus.QUEUED:
        return None
    with here.database.begin() as session:  # which connects only where the line has to be looked at again
        return here.places.of(session, job.id, job.model, job.mode)
