"""Renders: take one, show one, list them, cancel one."""

from __future__ import annotations

from collections.abc import Mapping
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
from pipeline.spec import Model, RenderSpec, plan_for
from renderfarm import (
    crash,
    fetch,
    holdings,
    idempotency,
    jobs,
    lending,
    line,
    listing,
    media,
    moderation,
    prices,
    public,
    views,
)
from renderfarm.accounts import Principal
from renderfarm.errors import FarmError
from renderfarm.idempotency import Hold, Settled
from renderfarm.jobs import NewJob, Submitted
from renderfarm.lending import Loan
from renderfarm.media import JudgedVideo
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
#: What the farm calls the files of these fields.
_INPUTS = {"ref_image": "picture", "driving_video": "video"}
#: What an order can be refused with, besides its key.
_REFUSALS = (
    "CS-ORCR-001",
    *(f"CS-ORIV-{number:03}" for number in (1, 2, 3, 4, *range(6, 15))),
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
    #: By the names of their fields; without those that stored assets stand for.
    files: Mapping[str, Source]
    #: Addresses of those that workers are to fetch, by the same names.
    urls: Mapping[str, str]

    @classmethod
    def read(cls, here: Farm, uploads: Uploads) -> Self:
        """Read the request's body; raises the code of what is missing, doubled, or not to be had."""
        form = read_form(uploads.open_part)
        asked = RenderForm.read(form.fields)
        urls = {
            name: url
            for name, url in (("ref_image", asked.ref_image_url), ("driving_video", asked.driving_video_url))
            if url
        }
        order = cls(asked, _files(asked, form, uploads), urls)
        for url in (*urls.values(), *([asked.webhook_url] if asked.webhook_url else [])):
            fetch.check_address(here.settings, url)
        _check_mapping(order)
        return order

    def brings(self, name: str) -> bool:
        """Whether it brings the file itself, now or by its address."""
        return name in self.files or name in self.urls

    def to_judge(self, account_id: str) -> moderation.Request:
        """What moderation is told of it. The files have to be committed."""
        return moderation.Request(
            account_id=account_id,
            kind="render",
            model=self.asked.model,
            mode=jobs.FAST if self.asked.fast else "full_pipeline",
            sha256={name: file.sha256 for name, file in self.files.items()},
            keys={name: file.key for name, file in self.files.items()},
            assets={
                name: value
                for name in ("character_id", "scene_id")
                if (value := getattr(self.asked, name)) is not None
            },
            fields=self.asked.model_dump(mode="json", exclude_defaults=True),
        )

    def fingerprint(self) -> str:
        """The same for the same order, however it is written down. The files have to be committed."""
        fields = self.asked.model_dump(mode="json", exclude_defaults=True, exclude=_FILES)
        return idempotency.fingerprint(fields, {name: file.sha256 for name, file in self.files.items()})


def _take(here: Farm, account_id: str, hold: Hold | None) -> Submitted:
    """The job of this request, submitted."""
    with Uploads(here, account_id, hold) as uploads:
        order = _Order.read(here, uploads)
        loan = _borrowed(here, account_id, order.asked)
        _check_roles(order)
        spec = _spec(order.asked, loan)
        if order.asked.fast:
            _refuse_without_room(here, spec.model)
        judged = _judged(here, account_id, uploads, order)
        if here.settings.moderation:
            moderation.moderate(here.settings, order.to_judge(account_id))
        new = _job(here, order, spec, loan, judged)
        uploads.submitting()
        crash.here(here.settings, crash.Point.UPLOADED)
        try:
            job = _submitted(here, account_id, uploads, order, new, hold)
        except FarmError as error:
            if error.code == "CS-ORIV-010":  # gone since it was read, which may be a while ago
                here.known.forget(account_id, loan.assets)
                _borrowed(here, account_id, order.asked)
            raise
        crash.here(here.settings, crash.Point.SUBMITTED)
        return job


def _submitted(
    here: Farm, account_id: str, uploads: Uploads, order: _Order, new: NewJob, hold: Hold | None
) -> Submitted:
    if hold is None and not uploads.claimed and jobs.is_one_statement(new):
        return jobs.submit_at_once(here.database, here.settings, account_id, new)
    with here.database.begin() as session:
        uploads.settle(session)
        job = jobs.submit(session, here.settings, account_id, new)
        if hold:
            idempotency.settle(session, here.settings, hold, order.fingerprint(), job.id)
        return job


def _borrowed(here: Farm, account_id: str, asked: RenderForm) -> Loan:
    """The stored assets that are asked for, all of them ready."""
    if not (asked.scene_id or asked.character_id):
        return Loan()
    return lending.find(
        here.database,
        account_id,
        scene_id=asked.scene_id,
        character_id=asked.character_id,
        mapping=asked.character_mapping,
        known=here.known,
    )


def _spec(asked: RenderForm, loan: Loan) -> RenderSpec:
    """What is to be seen; what was not said is as the scene has it. CS-ORIV-013 for a model not its own."""
    said = asked.model_fields_set
    if loan.scene is not None:
        own = loan.scene.spec
        lending.model_of(loan, asked.model if "model" in said else None)
        behind = asked.background_mode if "background_mode" in said else own.background
        asked = asked.model_copy(update={"model": own.model, "background_mode": behind})
    return lending.spec_of(loan, asked.spec())


def _judged(here: Farm, account_id: str, uploads: Uploads, order: _Order) -> JudgedVideo | None:
    """Look at the files that came; what the driving video is, where one did."""
    picture, video = order.files.get("ref_image"), order.files.get("driving_video")
    if picture:
        media.judge_picture_head(picture.head)
    if video:
        media.judge_video_head(video.head)
    if not order.files:
        return None
    uploads.commit(*order.files.values())
    with here.probing.turn(account_id):
        uploads.goes_on()
        if picture:
            media.judge_picture(here.settings, here.storage, picture.key)
        return media.judge_video(here.settings, here.storage, video.key) if video else None


def _job(here: Farm, order: _Order, spec: RenderSpec, loan: Loan, judged: JudgedVideo | None) -> NewJob:
    plan = plan_for(spec.model, engine=here.settings.engine_of(spec.model))
    video = judged.video if judged else loan.video
    stages = loan.stages(plan)
    mode = lending.mode_of(stages, fast=order.asked.fast)
    sent = {_INPUTS[name]: file.key for name, file in order.files.items()}
    return NewJob(
        spec=spec,
        plan=plan,
        video=video,
        inputs={**loan.inputs(), **sent},
        urls={_INPUTS[name]: url for name, url in order.urls.items()},
        mode=mode,
        credits=prices.price(video, mode) if video else None,
        stages=stages,
        notes=judged.notes if judged else loan.notes,
        source=judged.source if judged else "",
        webhook_url=order.asked.webhook_url,
        assets=loan.assets,
        facts=loan.facts(plan),
        lent=loan.files(plan),
    )


def _again(here: Farm, account_id: str, settled: Settled) -> Response:
    """The answer that the key was settled with, to whoever sends the same once more."""
    with Uploads(here, account_id, keeps=False) as uploads:
        order = _Order.read(here, uploads)
        uploads.commit(*order.files.values())
        if order.fingerprint() != settled.fingerprint:
            raise FarmError("CS-UORC01-113")
    response = _accepted(settled.job)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _accepted(job: Job | Submitted) -> Response:
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


@blueprint.delete("/<job_id>/files")
@operation(key=True, path=JOB, answers=JobAnswer, codes=("CS-UORC01-124",))
def delete_files(job_id: str, account: Principal) -> Response:
    """Delete the files of a render that has ended."""
    with farm().database.begin() as session:
        holdings.delete_files(session, farm().settings, account.id, job_id)
    return answer(_described(farm(), _seen(farm(), job_id)))


def _files(asked: RenderForm, form: Form, uploads: Uploads) -> dict[str, Source]:
    """The files that came, now or before."""
    found: dict[str, Source] = {}
    roles = (
        ("ref_image", "image", asked.ref_image_upload_id, asked.ref_image_url),
        ("driving_video", "video", asked.driving_video_upload_id, asked.driving_video_url),
    )
    stored = {"ref_image": asked.character_id, "driving_video": asked.scene_id}
    for name, kind, upload_id, url in roles:
        file: Source | None = uploads.take(form, name)
        if sum(given is not None for given in (file, upload_id, url, stored[name])) > 1:
            other = "character_id" if name == "ref_image" else "scene_id"
            raise FarmError(
                "CS-UORC01-002", f"Give only one of {name}, {name}_upload_id, {name}_url, {other}."
            )
        if upload_id:
            file = uploads.claim(upload_id, "image" if kind == "image" else "video")
        if file:
            found[name] = file
    return found


def _check_mapping(order: _Order) -> None:
    """CS-ORIV-012 for a mapping without a scene, or beside another character."""
    if not order.asked.character_mapping:
        return
    if not order.asked.scene_id:
        raise FarmError("CS-ORIV-012", "`character_mapping` names people of a scene: it needs `scene_id`.")
    if order.brings("ref_image") or order.asked.character_id:
        message = "`character_mapping` names all characters: leave out `ref_image` and `character_id`."
        raise FarmError("CS-ORIV-012", message)


def _check_roles(order: _Order) -> None:
    """CS-ORIV-001 without a picture or what stands for one, -002 without a video or a scene."""
    asked = order.asked
    if not (order.brings("ref_image") or asked.character_id or asked.character_mapping):
        raise FarmError("CS-ORIV-001")
    if not (order.brings("driving_video") or asked.scene_id):
        raise FarmError("CS-ORIV-002")


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
    state = public.state_of(job, here.places.place(here.database, job))
    return JobAnswer.model_validate(public.addressed(state, here.storage.link))
