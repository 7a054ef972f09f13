"""Scenes: prepared once from a driving video, for one model, at no cost; and those made from templates."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import BeforeValidator, Field, WithJsonSchema

from api import preparing
from api.characters import shown_of
from api.context import Farm, answer, farm
from api.fields import Fields
from api.forms import read_form
from api.idempotent import PARAMETER
from api.operation import Body, PathId, operation
from api.pages import PageQuery
from api.preparing import REFUSALS, Judged, Prepared
from api.schemas import (
    DeletedAnswer,
    DeletedShown,
    SceneAccepted,
    SceneAcceptedAnswer,
    SceneAnswer,
    SceneList,
    ScenePage,
    SceneShown,
    TemplateList,
    TemplatesAnswer,
    TemplateShown,
)
from api.uploads import nowhere
from pipeline.spec import Background, Model, RenderSpec, plan_for
from renderfarm import assets
from renderfarm.accounts import Principal
from renderfarm.jobs import NewJob
from renderfarm.models import Job, JobKind, JobStatus

blueprint = Blueprint("scenes", __name__, url_prefix="/api/scenes")
templates_blueprint = Blueprint("templates", __name__, url_prefix="/api/templates")

_SCENE = PathId("scene_id", "scene_[a-z0-9]{24}", "CS-ORIV-009")


class SceneForm(Fields):
    """The fields of ``POST /api/scenes/preprocess`` besides its file."""

    codes = {"background_mode": "CS-ORIV-011"}  # noqa: RUF012 - read only

    name: Annotated[str, Field(min_length=1, max_length=200)] = "scene"
    """What you call it."""
    model: Model = Model.V4
    """The scene is bound to it for good."""
    background_mode: Annotated[
        Background,
        BeforeValidator(lambda value: "original" if value == "inpaint" else value),
        WithJsonSchema({"type": "string", "enum": [*Background, "inpaint"]}),
    ] = Background.ORIGINAL
    """What a render of it has that names none."""
    video_url: str | None = None
    """In place of `video`."""
    video_upload_id: str | None = None
    """An upload that is complete, in place of `video`, which takes its id, too."""
    upload_id: str | None = None
    """The same."""


class ImportForm(Fields):
    """The fields of ``POST /api/scenes/import``."""

    template_id: str
    """One of `GET /api/templates`."""
    name: Annotated[str, Field(min_length=1, max_length=200)] = "scene"
    """What you call it."""


class ScenesQuery(PageQuery):
    """Which scenes."""

    cursor: Annotated[str, Field(pattern="^scene_[a-z0-9]{24}$")] | None = None
    """The `next_cursor` of the page before."""


_FORM = Body(SceneForm, {"video": "The driving video: MP4, MOV, WebM or AVI."})


@blueprint.post("/preprocess")
@operation(
    key=True,
    body=_FORM,
    headers=(PARAMETER,),
    answers=SceneAcceptedAnswer,
    status=202,
    codes=("CS-ORIV-002", "CS-ORIV-004", "CS-ORIV-011", *REFUSALS),
)
def preprocess(account: Principal) -> Response:
    """Prepare a scene from a driving video."""
    prepared, replayed = preparing.prepare(
        farm(), account, preparing.SCENE, SceneForm, _job, lambda form: form.name
    )
    return preparing.accepted(_taken(prepared, "pending"), replayed)


@blueprint.post("/import")
@operation(
    key=True,
    body=Body(ImportForm),
    answers=SceneAcceptedAnswer,
    status=202,
    codes=("CS-UORC01-120", "CS-ORIV-010"),
)
def import_template(account: Principal) -> Response:
    """Make a scene from a template: it is ready at once."""
    here, asked = farm(), ImportForm.read(read_form(nowhere).fields)
    with here.database.begin() as session:
        scene = assets.import_template(session, here.settings, account.id, asked.template_id, asked.name)
        job = session.get_one(Job, scene.job_id)
    return _taken(Prepared(scene, job), "ready")


@blueprint.get("/<scene_id>")
@operation(key=True, path=_SCENE, answers=SceneAnswer)
def show(scene_id: str, account: Principal) -> Response:
    """A scene as it is now, and who is in it."""
    shown = _shown(farm(), preparing.found(farm(), account, JobKind.SCENE, scene_id))
    return answer(SceneAnswer(**dict(shown), data=shown))


@blueprint.get("")
@operation(key=True, query=ScenesQuery, answers=ScenePage)
def page(account: Principal, query: ScenesQuery) -> Response:
    """The account's scenes, newest first."""
    rows, following = preparing.paged(farm(), account, JobKind.SCENE, query.cursor, query.limit)
    found = SceneList(scenes=[_shown(farm(), row) for row in rows], next_cursor=following)
    return answer(ScenePage(**dict(found), data=found))


@blueprint.delete("/<scene_id>")
@operation(key=True, path=_SCENE, answers=DeletedAnswer)
def delete(scene_id: str, account: Principal) -> Response:
    """Hide a scene; its bytes go with the last job that uses them."""
    preparing.removed(farm(), account, JobKind.SCENE, scene_id)
    gone = DeletedShown(id=scene_id)
    return answer(DeletedAnswer(**dict(gone), data=gone))


@templates_blueprint.get("")
@operation(key=True, answers=TemplatesAnswer)
def templates(account: Principal) -> Response:
    """The scenes that every account may import."""
    here = farm()
    with here.database.begin() as session:
        rows = [Prepared(each, session.get_one(Job, each.job_id)) for each in assets.templates(session)]
    found = TemplateList(templates=[_template(here, row) for row in rows])
    return answer(TemplatesAnswer(**dict(found), data=found))


def _taken(prepared: Prepared, status: Any) -> Response:
    taken = SceneAccepted(
        scene_id=prepared.asset.id,
        job_id=prepared.job.id,
        status=status,
        enqueued_at=prepared.job.created_at,
    )
    return answer(SceneAcceptedAnswer(**dict(taken), data=taken), 202)


def _shown(here: Farm, prepared: Prepared) -> SceneShown:
    spec = RenderSpec.from_json(prepared.job.spec)
    return SceneShown(
        **shown_of(here, prepared),
        background_mode=spec.background,
        **_video(here, prepared.job),
    )


def _template(here: Farm, prepared: Prepared) -> TemplateShown:
    thumbnail = prepared.job.outputs.get("thumbnail")
    return TemplateShown(
        id=prepared.asset.id,
        template_id=prepared.asset.id,
        name=prepared.asset.name,
        thumbnail_url=here.storage.url(thumbnail) if thumbnail else None,
        **_video(here, prepared.job),
    )


def _video(here: Farm, job: Job) -> dict[str, Any]:
    """What a scene is, and its people once they are known."""
    video = job.known_video
    outputs = job.outputs
    people = job.facts.get("people", []) if job.status == JobStatus.COMPLETE else []
    portraits = [outputs.get(f"portrait-{number:04}") for number in range(len(people))]
    return {
        "model": Model(job.model),
        "duration_seconds": round(video.duration, 3) if video else None,
        "fps": round(float(video.rate), 3) if video else None,
        "total_frames": video.frames if video else None,
        "width": video.width if video else None,
        "height": video.height if video else None,
        "segments": [
            {"uuid": person, "type": "human", "thumbnail_url": here.storage.url(key) if key else None}
            for person, key in zip(people, portraits, strict=True)
        ],
    }


def _job(here: Farm, asked: SceneForm, judged: Judged) -> NewJob:
    return NewJob(
        spec=RenderSpec(asked.model, asked.background_mode),
        plan=plan_for(asked.model, engine=here.settings.engine_of(asked.model)),
        video=judged.video,
        mode="full_pipeline",
        credits=0,
        notes=judged.notes or {},
        source=judged.source,
    )
