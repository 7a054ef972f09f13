"""What a render would cost, and when it would be there, before anything is sent or charged."""

from __future__ import annotations

from fractions import Fraction

from flask import Blueprint, Response

from api.context import Farm, answer, farm
from api.forms import read_form
from api.operation import Body, operation
from api.schemas import Estimate, EstimateAnswer, EstimateForm
from api.uploads import nowhere
from pipeline.spec import VideoInfo, plan_for
from renderfarm import lending, media, prices
from renderfarm.accounts import Principal, Scope
from renderfarm.errors import FarmError
from renderfarm.lending import Loan

blueprint = Blueprint("estimate", __name__, url_prefix="/api/render")


@blueprint.post("/estimate")
@operation(
    key=True,
    scope=Scope.READ,
    body=Body(EstimateForm),
    answers=EstimateAnswer,
    codes=("CS-ORIV-004", "CS-ORIV-006", "CS-ORIV-009", "CS-ORIV-010", "CS-ORIV-013"),
)
def reckon(account: Principal) -> Response:
    """What a render would cost, and when it would be there; nothing is charged."""
    here, asked = farm(), EstimateForm.read(read_form(nowhere).fields)
    if (asked.scene_id is None) == (asked.duration_seconds is None):
        raise FarmError("CS-UORC01-002", "Give one of scene_id, duration_seconds.")
    loan = Loan()
    if asked.scene_id:
        loan = lending.find(here.database, account.id, scene_id=asked.scene_id, character_id=None)
    model = lending.model_of(loan, asked.model if "model" in asked.model_fields_set else None)
    model = model or asked.model
    stages = loan.stages(plan_for(model, engine=here.settings.engine_of(model)))
    mode = lending.mode_of(stages, fast=asked.fast)
    credits = prices.price(loan.video or _video(here, asked), mode)
    found = here.estimates.of(here.database, here.settings, account.id, model, mode)
    body = Estimate(
        credits=credits,
        model=model,
        fast=asked.fast,
        queue_position=found.queue_position,
        expected_wait_seconds=found.wait,
        expected_render_seconds=None if found.per_credit is None else round(found.per_credit * credits, 1),
        enough_credits=account.available >= credits,
    )
    return answer(EstimateAnswer(**dict(body), data=body))


def _video(here: Farm, asked: EstimateForm) -> VideoInfo:
    """A video of that length, as the probe would find it; CS-ORIV-004 and -006 for one that is not taken."""
    rate = Fraction(asked.fps).limit_denominator(1001)
    frames = int(Fraction(asked.duration_seconds or 0) * rate + Fraction(1, 2))
    video = VideoInfo(width=0, height=0, rate=rate, frames=frames, has_sound=False, codec="")
    media.judge_length(here.settings, video)
    return video
