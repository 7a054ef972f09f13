"""Files that are sent by themselves: where their parts go, which are there, and when they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import Field, StringConstraints

from api.context import Farm, answer, farm
from api.fields import Fields
from api.forms import read_form
from api.operation import Body, PathId, operation
from api.schemas import SentPart, UploadAnswer, UploadShown
from api.uploads import nowhere
from renderfarm import uploads
from renderfarm.accounts import Principal
from renderfarm.errors import FarmError
from renderfarm.models import Upload, UploadState
from renderfarm.storage import NotStored
from renderfarm.uploads import Kind

blueprint = Blueprint("uploads", __name__, url_prefix="/api/uploads")

_CHUNK = 1 << 18
_UPLOAD = PathId("upload_id", "upl_[a-z0-9]{24}", "CS-UORC01-116")


class UploadForm(Fields):
    """The fields of ``POST /api/uploads``."""

    kind: Kind
    """What it will be used as."""
    size: int = Field(gt=0)
    """Its bytes, all of them."""
    sha256: Annotated[str, StringConstraints(to_lower=True, pattern="^[0-9a-fA-F]{64}$")] | None = None
    """Checked when it is complete."""
    filename: str = Field("", max_length=255)
    content_type: str = Field("", max_length=100)


@blueprint.post("")
@operation(key=True, body=Body(UploadForm), answers=UploadAnswer, status=201)
def begin(account: Principal) -> Response:
    """Say where the parts of a file are to be sent."""
    here = farm()
    form = UploadForm.read(read_form(nowhere).fields)
    if form.size > here.settings.max_upload_mb << 20:
        raise FarmError("CS-ORIV-005", f"The file is larger than {here.settings.max_upload_mb} MB.")
    with here.database.begin() as session:
        upload = uploads.begin(session, here.settings, account.id, form.kind, form.size, form.sha256)
    # Written down first: should the process die here, the sweeper aborts what the store had begun.
    handle = here.storage.open_parts(upload.key, len(uploads.parts_of(upload)))
    if handle:
        with here.database.begin() as session:
            upload = uploads.of(session, account.id, upload.id)
            upload.handle = handle
    return answer(_shown(here, upload), 201)


@blueprint.get("/<upload_id>")
@operation(key=True, path=_UPLOAD, answers=UploadAnswer)
def show(upload_id: str, account: Principal) -> Response:
    """An upload as it is now: which parts are there, and where the others go."""
    with farm().database.begin() as session:
        upload = uploads.of(session, account.id, upload_id)
    return answer(_shown(farm(), upload))


@blueprint.post("/<upload_id>/complete")
@operation(
    key=True,
    path=_UPLOAD,
    answers=UploadAnswer,
    codes=("CS-ORIV-003", "CS-ORIV-007", "CS-UORC01-002", "CS-UORC01-123"),
)
def complete(upload_id: str, account: Principal) -> Response:
    """Every part was sent: make it a file that can be used.

    What is not what was announced is let go of.
    """
    here = farm()
    try:
        with here.probing.turn(account.id), here.database.begin() as session:
            upload = uploads.complete(session, here.storage, account.id, upload_id)
    except FarmError as error:
        if error.code in uploads.FOR_GOOD:
            with here.database.begin() as session:
                uploads.drop(session, here.settings, account.id, upload_id)
        raise
    return answer(_shown(here, upload))


@blueprint.delete("/<upload_id>")
@operation(key=True, path=_UPLOAD, answers="", status=204)
def drop(upload_id: str, account: Principal) -> Response:
    """Let go of an upload, whole or not."""
    here = farm()
    with here.database.begin() as session:
        uploads.drop(session, here.settings, account.id, upload_id)
    return Response(status=204)


@blueprint.put("/<upload_id>/parts/<int:number>")
@operation(path=_UPLOAD, answers="", codes=("CS-UORC01-002",))
def take(upload_id: str, number: int) -> Response:
    """Take one part, for the embedded store, from whoever has its signed address."""
    here = farm()
    with here.database.begin() as session:
        upload, part = uploads.signed(session, upload_id, number, request.args.get("signature", ""))
    if here.storage.part_url(upload.key, upload.handle, number, part.size, 1) is not None:
        raise FarmError("CS-UORC01-116")  # another store takes its parts itself
    if request.content_length is not None and request.content_length != part.size:
        raise FarmError("CS-UORC01-002", f"Part {number} has {part.size} bytes, no more and no less.")
    with _there_still(), here.storage.part_writer(upload.key, number) as out:
        while data := request.stream.read(min(_CHUNK, part.size + 1 - out.size)):
            out.write(data)
            if out.size > part.size:
                break
        if out.size != part.size:
            raise FarmError("CS-UORC01-002", f"Part {number} has {part.size} bytes; {out.size} came.")
        stored = out.commit()
    response = Response(status=200)
    response.headers["ETag"] = f'"{stored.sha256}"'
    return response


@contextmanager
def _there_still() -> Iterator[None]:
    """CS-UORC01-116 where the upload was completed, or dropped, while its part came in."""
    try:
        yield
    except NotStored as error:
        raise FarmError("CS-UORC01-116") from error


def _shown(here: Farm, upload: Upload) -> UploadAnswer:
    """The upload for its owner; addresses are signed now, for what is left of its time."""
    seconds = (upload.expires_at - datetime.now(UTC)).total_seconds()
    open_still = upload.state == UploadState.OPEN
    there = _there(here, upload) if open_still else {}
    parts = [
        SentPart(
            number=part.number,
            size=part.size,
            received=not open_still or there.get(part.number) == part.size,
            url=_address(here, upload, part, seconds) if open_still else None,
        )
        for part in uploads.parts_of(upload)
    ]
    shown = UploadShown(
        upload_id=upload.id,
        kind="video" if upload.kind == "video" else "image",
        state=UploadState(upload.state),
        size=upload.size,
        method="PUT",
        url=parts[0].url if len(parts) == 1 else None,
        parts=parts,
        part_size=upload.part_size,
        headers={},
        expires_at=upload.expires_at,
    )
    return UploadAnswer(**dict(shown), data=shown)


def _there(here: Farm, upload: Upload) -> dict[int, int]:
    try:
        return here.storage.parts(upload.key, upload.handle, upload.part_size)
    except NotStored:
        return {}


def _address(here: Farm, upload: Upload, part: uploads.Part, seconds: float) -> str:
    direct = here.storage.part_url(upload.key, upload.handle, part.number, part.size, seconds)
    if direct is not None:
        return direct
    base = f"{here.settings.public_url.rstrip('/')}{blueprint.url_prefix}/{upload.id}/parts/{part.number}"
    return f"{base}?signature={uploads.signature(upload, part.number)}"
