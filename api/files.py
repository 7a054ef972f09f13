"""The embedded store's finished files, for anyone who has the address; other stores serve their own."""

from __future__ import annotations

import mimetypes

from flask import Blueprint, Response, send_file

from api.context import farm
from api.operation import operation
from api.schemas import ErrorAnswer
from renderfarm.errors import FarmError
from renderfarm.storage import FileStore, NotStored

blueprint = Blueprint("files", __name__, url_prefix="/files")

#: Only what is finished; uploads and work in hand are nobody's to fetch.
_PUBLIC = "out/"
_FOREVER = "public, max-age=31536000, immutable"


@blueprint.get("/<path:key>")
@operation(
    answers="application/octet-stream",
    also={
        206: ("A range of it", "application/octet-stream"),
        304: ("The file that is known already", None),
        416: ("There is no such range", ErrorAnswer),
    },
    codes=("CS-UORC01-115",),
    limited=False,
)
def show(key: str) -> Response:
    """A finished file, whole or a range of it. Its name is its digest: it never changes."""
    storage = farm().storage
    if not isinstance(storage, FileStore) or not key.startswith(_PUBLIC):
        raise FarmError("CS-UORC01-115")
    try:
        storage.size(key)
    except (NotStored, ValueError) as error:
        raise FarmError("CS-UORC01-115") from error
    path = storage.path(key)
    kind = mimetypes.types_map.get(path.suffix, "application/octet-stream")
    response = send_file(path, mimetype=kind, conditional=True, etag=path.stem)
    response.headers["Cache-Control"] = _FOREVER
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
