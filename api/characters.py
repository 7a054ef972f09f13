"""Characters: prepared once from a picture, for both models, at no cost."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import Field

from api import preparing
from api.context import Farm, answer, farm
from api.fields import Fields
from api.idempotent import PARAMETER
from api.operation import Body, PathId, operation
from api.pages import PageQuery
from api.preparing import REFUSALS, STATUSES, Judged, Prepared
from api.schemas import (
    CharacterAccepted,
    CharacterAcceptedAnswer,
    CharacterAnswer,
    CharacterList,
    CharacterPage,
    CharacterShown,
    DeletedAnswer,
    DeletedShown,
)
from pipeline.spec import Model, RenderSpec, plan_for
from renderfarm import pools
from renderfarm.accounts import Principal
from renderfarm.jobs import NewJob
from renderfarm.models import JobKind, JobStatus
from renderfarm.stages import QUEUES

blueprint = Blueprint("characters", __name__, url_prefix="/api/characters")

_CHARACTER = PathId("character_id", "char_[a-z0-9]{24}", "CS-ORIV-008")


class CharacterForm(Fields):
    """The fields of ``POST /api/characters/preprocess`` besides its file."""

    name: Annotated[str, Field(min_length=1, max_length=200)] = "character"
    """What you call it."""
    image_url: str | None = None
    """In place of `image`."""
    image_upload_id: str | None = None
    """An upload that is complete, in place of `image`, which takes its id, too."""
    upload_id: str | None = None
    """The same."""


class CharactersQuery(PageQuery):
    """Which characters."""

    cursor: Annotated[str, Field(pattern="^char_[a-z0-9]{24}$")] | None = None
    """The `next_cursor` of the page before."""


_FORM = Body(CharacterForm, {"image": "The character's picture: PNG, JPG or WebP."})


@blueprint.post("/preprocess")
@operation(
    key=True,
    body=_FORM,
    headers=(PARAMETER,),
    answers=CharacterAcceptedAnswer,
    status=202,
    codes=("CS-ORIV-001", *REFUSALS),
)
def preprocess(account: Principal) -> Response:
    """Prepare a character from a picture."""
    prepared, replayed = preparing.prepare(
        farm(), account, preparing.CHARACTER, CharacterForm, _job, lambda form: form.name
    )
    taken = CharacterAccepted(
        character_id=prepared.asset.id,
        job_id=prepared.job.id,
        status="pending",
        enqueued_at=prepared.job.created_at,
    )
    return preparing.accepted(answer(CharacterAcceptedAnswer(**dict(taken), data=taken), 202), replayed)


@blueprint.get("/<character_id>")
@operation(key=True, path=_CHARACTER, answers=CharacterAnswer)
def show(character_id: str, account: Principal) -> Response:
    """A character as it is now."""
    shown = CharacterShown(
        **shown_of(farm(), preparing.found(farm(), account, JobKind.CHARACTER, character_id))
    )
    return answer(CharacterAnswer(**dict(shown), data=shown))


@blueprint.get("")
@operation(key=True, query=CharactersQuery, answers=CharacterPage)
def page(account: Principal, query: CharactersQuery) -> Response:
    """The account's characters, newest first."""
    here = farm()
    rows, following = preparing.paged(here, account, JobKind.CHARACTER, query.cursor, query.limit)
    found = CharacterList(
        characters=[CharacterShown(**shown_of(here, row)) for row in rows], next_cursor=following
    )
    return answer(CharacterPage(**dict(found), data=found))


@blueprint.delete("/<character_id>")
@operation(key=True, path=_CHARACTER, answers=DeletedAnswer)
def delete(character_id: str, account: Principal) -> Response:
    """Hide a character; its bytes go with the last job that uses them."""
    preparing.removed(farm(), account, JobKind.CHARACTER, character_id)
    gone = DeletedShown(id=character_id)
    return answer(DeletedAnswer(**dict(gone), data=gone))


def shown_of(here: Farm, prepared: Prepared) -> dict[str, Any]:
    """What characters and scenes have in common, for their account."""
    asset, job = prepared.asset, prepared.job
    thumbnail = job.outputs.get("thumbnail")
    return {
        "id": asset.id,
        "name": asset.name,
        "status": STATUSES[JobStatus(job.status)],
        "job_id": job.id,
        "error": job.error_message,
        "error_code": job.error_code,
        "error_message": job.error_message,
        "thumbnail_url": here.storage.url(thumbnail) if thumbnail else None,
        "credits_used": 0,
        "created_at": asset.created_at,
        "completed_at": job.completed_at,
    }


def _job(here: Farm, asked: CharacterForm, judged: Judged) -> NewJob:
    """On whichever pool is idle: a character is the same for both models."""
    with here.database.begin() as session:
        there = pools.live_pools(session, here.settings)
    idle = {model: there[queue].idle if queue in there else 0 for model, queue in QUEUES.items()}
    model = max((Model.V4, Model.V3), key=lambda each: idle[each])
    return NewJob(
        spec=RenderSpec(model),
        plan=plan_for(model, engine=here.settings.engine_of(model)),
        video=None,
        mode="full_pipeline",
        credits=0,
    )
