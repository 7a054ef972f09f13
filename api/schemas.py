"""The wire's shapes: what clients send and what they read. The OpenAPI document is made from these."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from api.fields import Fields
from pipeline.spec import Background, Model, RenderSpec
from renderfarm.errors import FarmError
from renderfarm.models import EntryKind, JobStatus, UploadState
from renderfarm.uploads import ID as UPLOAD_ID

#: A moment in UTC, written with a ``Z``.
Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]

_COLOUR = re.compile(r"\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*")


def _mapping(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def with_upload_ids(fields: dict[str, str]) -> dict[str, str]:
    """The fields of a form, an upload's id that stands for a file under its own name: ``..._upload_id``."""
    for name in ("ref_image", "driving_video", "image", "video"):
        if UPLOAD_ID.fullmatch(fields.get(name, "")):
            own = f"{name}_upload_id"
            if fields.setdefault(own, fields[name]) != fields[name]:
                raise FarmError("CS-UORC01-002", f"Give only one of {name}, {own}.")
    return fields


class RenderForm(Fields):
    """The fields of ``POST /api/render`` besides its files. Empty fields count as absent."""

    codes = {"background_mode": "CS-ORIV-011", "character_mapping": "CS-ORIV-012"}  # noqa: RUF012 - read only

    model: Model = Model.V4
    """Each model has its own pool of workers."""
    background_mode: Annotated[
        Background,
        BeforeValidator(lambda value: "original" if value == "inpaint" else value),
        WithJsonSchema({"type": "string", "enum": [*Background, "inpaint"]}),
    ] = Background.ORIGINAL
    """`original`: the scene without its person; `solid`: one colour; `transparent`: black, and a mask
    video. `inpaint` is another name for `original`."""
    bg_color: str = "0,255,0"
    """`R,G,B`, 0-255 each; used only with `solid`."""
    fast: bool = False
    """Twice the speed or better, at twice the credits; refused where the pool has no two free workers."""
    ref_image_url: str | None = None
    """In place of `ref_image`."""
    driving_video_url: str | None = None
    """In place of `driving_video`."""
    ref_image_upload_id: str | None = None
    """An upload that is complete, in place of `ref_image`; `ref_image` itself takes its id, too."""
    driving_video_upload_id: str | None = None
    """An upload that is complete, in place of `driving_video`, which takes its id, too."""
    character_id: str | None = None
    """A ready character, in place of a picture."""
    scene_id: str | None = None
    """A ready scene, in place of a video."""
    webhook_url: str | None = None
    """Told what becomes of the job, in the form of the Standard Webhooks specification."""
    character_mapping: Annotated[dict[str, str], BeforeValidator(_mapping)] | None = None
    """JSON: which person of the scene becomes which character."""

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> Self:
        """The form of these fields, an upload's id in a file's place among them."""
        return super().read(with_upload_ids({name: value.strip() for name, value in fields.items()}))

    def spec(self) -> RenderSpec:
        """What is to be seen; CS-ORIV-011 for a colour that is none, unless it is not used."""
        if self.background_mode is not Background.SOLID:
            return RenderSpec(self.model, self.background_mode)
        found = _COLOUR.fullmatch(self.bg_color)
        values = [int(value) for value in found.groups()] if found else []
        if len(values) != 3 or max(values) > 255:
            raise FarmError(
                "CS-ORIV-011", f"`bg_color` is {self.bg_color[:60]!r}, not `R,G,B` of 0-255 each."
            )
        red, green, blue = values
        return RenderSpec(self.model, self.background_mode, (red, green, blue))


class EstimateForm(Fields):
    """The fields of ``POST /api/render/estimate``: a scene, or how long a video is."""

    scene_id: str | None = None
    """A ready scene."""
    duration_seconds: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    """In place of a scene: how long the driving video is."""
    fps: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)] = 30
    """Its frames a second: a last lone frame costs nothing."""
    model: Model = Model.V4
    """With a scene, the scene's."""
    fast: bool = False
    """Whether in fast mode."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ErrorDetail(_Answer):
    """What went wrong, and what to do about it."""

    error_code: str
    message: str
    action: str


class ErrorAnswer(_Answer):
    """Every error; clients read it under `detail` or at the top."""

    detail: ErrorDetail
    error_code: str
    message: str


class Accepted(_Answer):
    """A render that was taken."""

    job_id: str
    status: JobStatus
    mode: Literal["full_pipeline", "preprocessed", "fast"]
    enqueued_at: Moment


class Estimate(_Answer):
    """What a render would cost, and when it would be there. Null: nobody can know now."""

    credits: int
    model: Model
    fast: bool
    queue_position: int | None
    """Where it would stand; null for a fast one that would be refused now, with CS-UORC01-001."""
    expected_wait_seconds: float | None
    """Until it begins; null without a worker, or where nothing like it was rendered in the last day."""
    expected_render_seconds: float | None
    """From then to its end; null where nothing like it was rendered in the last day."""
    enough_credits: bool
    """Whether the account could pay for it."""


class EstimateAnswer(Estimate):
    """The same at the top and under `data`."""

    data: Estimate


class Progress(_Answer):
    """How far the job is."""

    stage: str
    done: int
    """Frames of the stage, or steps where it does not go by frames."""
    total: int
    pct: int = Field(ge=0, le=100)
    eta_seconds: float | None


class JobAnswer(_Answer):
    """A render as it is now."""

    job_id: str
    status: JobStatus
    mode: str
    model: Model
    checkpoint: str | None
    """The last that was passed of `ref_done`, `dri_done`, `bg_done`, `render_done`."""
    progress_pct: int = Field(ge=0, le=100)
    queue_position: int | None
    """1 for the job that starts next; null for one that has started or ended."""
    cdn_url: str | None
    """The finished video. Built anew at each read: keep the id rather than the address."""
    cdn_url_expires_at: Moment | None
    """How long this answer's addresses are good; null where they are for good, or there are none."""
    mask_cdn_url: str | None
    """With `transparent`: white where the character is."""
    thumbnail_url: str | None
    error: str | None
    error_code: str | None
    error_message: str | None
    progress: Progress
    result_url: str | None
    """The same as `cdn_url`."""
    chunks: list[dict[str, Any]] = []
    notes: list[str]
    """What is worth knowing of the result."""
    credits: int | None
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    files_deleted_at: Moment | None
    """Since when its files are gone, by `DELETE .../files` or by their age. A complete job stays complete."""


class JobPage(_Answer):
    """Jobs, the newest first."""

    jobs: list[JobAnswer]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null on the last."""


class Entry(_Answer):
    """One movement of credits."""

    id: int
    kind: EntryKind
    job_id: str | None
    available_delta: int
    held_delta: int
    note: str
    created_at: Moment


class Allowance(_Answer):
    """Free work of one kind, in the last 24 hours."""

    used: int
    limit: int


class FreeWork(_Answer):
    """What the account has for nothing; beyond the limits it is answered with CS-UORC01-118."""

    preprocess: Allowance
    """Characters and scenes."""
    cancels: Allowance
    """Renders cancelled after they had begun."""


class Credits(_Answer):
    """What the account has, and how that came about."""

    balance: int
    """Credits that can be spent."""
    held: int
    """Credits set aside for jobs that have not ended."""
    free: FreeWork
    entries: list[Entry]
    next_cursor: str | None


class CreditsAnswer(Credits):
    """The same at the top and under `data`."""

    data: Credits


class PreparedAnswer(_Answer):
    """A character or scene that is being prepared."""

    job_id: str
    status: Literal["pending", "processing", "ready", "failed"]
    enqueued_at: Moment


class CharacterAccepted(PreparedAnswer):
    """A character that is being prepared."""

    character_id: str


class CharacterAcceptedAnswer(CharacterAccepted):
    """The same at the top and under `data`."""

    data: CharacterAccepted


class SceneAccepted(PreparedAnswer):
    """A scene that is being prepared, or was imported."""

    scene_id: str


class SceneAcceptedAnswer(SceneAccepted):
    """The same at the top and under `data`."""

    data: SceneAccepted


class CharacterShown(_Answer):
    """A character as it is now."""

    id: str
    name: str
    status: Literal["pending", "processing", "ready", "failed"]
    job_id: str
    error: str | None
    error_code: str | None
    error_message: str | None
    thumbnail_url: str | None
    credits_used: int
    created_at: Moment
    completed_at: Moment | None


class CharacterAnswer(CharacterShown):
    """The same at the top and under `data`."""

    data: CharacterShown


class CharacterList(_Answer):
    """Characters, the newest first."""

    characters: list[CharacterShown]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null on the last."""


class CharacterPage(CharacterList):
    """The same at the top and under `data`."""

    data: CharacterList


class SegmentShown(_Answer):
    """A person of a scene."""

    uuid: str
    """Name them by it in `character_mapping`."""
    type: Literal["human"]
    thumbnail_url: str | None


class SceneShown(CharacterShown):
    """A scene as it is now. It is bound to its model."""

    model: Model
    background_mode: Background
    duration_seconds: float | None
    """Null, as what follows, while a video that is given by its address has not been fetched."""
    fps: float | None
    total_frames: int | None
    width: int | None
    height: int | None
    segments: list[SegmentShown]
    """The people, the lead first; empty until it is ready."""


class SceneAnswer(SceneShown):
    """The same at the top and under `data`."""

    data: SceneShown


class SceneList(_Answer):
    """Scenes, the newest first."""

    scenes: list[SceneShown]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null on the last."""


class ScenePage(SceneList):
    """The same at the top and under `data`."""

    data: SceneList


class DeletedShown(_Answer):
    """What is hidden from now on; its bytes go with the last job that uses them."""

    id: str
    deleted: Literal[True] = True


class DeletedAnswer(DeletedShown):
    """The same at the top and under `data`."""

    data: DeletedShown


class TemplateShown(_Answer):
    """A scene that an operator has published."""

    id: str
    template_id: str
    name: str
    model: Model
    duration_seconds: float
    fps: float
    total_frames: int
    width: int
    height: int
    thumbnail_url: str | None
    segments: list[SegmentShown]


class TemplateList(_Answer):
    """What every account may import, the newest first."""

    templates: list[TemplateShown]


class TemplatesAnswer(TemplateList):
    """The same at the top and under `data`."""

    data: TemplateList


class SentPart(_Answer):
    """One part of an upload."""

    number: int
    size: int
    """Its bytes, exactly."""
    received: bool
    url: str | None
    """Where to PUT it, without a key; null once the upload is complete."""


class UploadShown(_Answer):
    """A file that is sent by itself, as it is now."""

    upload_id: str
    """Give it wherever a file is asked for, once the upload is complete. It is good for one job."""
    kind: Literal["image", "video"]
    state: UploadState
    size: int
    method: Literal["PUT"]
    url: str | None
    """Of the only part; null where there are several."""
    parts: list[SentPart]
    part_size: int
    headers: dict[str, str]
    """To send with each part."""
    expires_at: Moment
    """Until then it has to be sent, completed and used."""


class UploadAnswer(UploadShown):
    """The same at the top and under `data`."""

    data: UploadShown


class Health(_Answer):
    """Whether the process, and what it needs, answers."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str] = {}
