"""The body of a request, read as a form: files go straight to the store, fields stay small."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO
from urllib.parse import parse_qsl

from flask import request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from renderfarm.errors import FarmError

#: What the fields of one form may come to, and how many parts it may have.
_FIELDS_BYTES = 1 << 20
_PARTS = 40


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent. A file part without a name of its own is no file."""

    fields: Mapping[str, str]
    files: MultiDict[str, FileStorage]


def read_form(open_part: Callable[..., IO[bytes]]) -> Form:
    """Read the request's body: multipart, urlencoded or JSON; anything else is an empty form.

    ``open_part`` makes what a file part is written to as it comes in (Werkzeug's stream factory).
    Raises CS-UORC01-002 for a body that is not what its content type says.
    """
    if request.mimetype == "multipart/form-data":
        return _multipart(open_part)
    pairs: list[tuple[str, str]] = []
    if request.mimetype == "application/json":
        pairs = _json(_small_body())
    elif request.mimetype == "application/x-www-form-urlencoded":
        try:
            text = _small_body().decode()
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_PARTS)
        except ValueError as error:
            raise FarmError("CS-UORC01-002", "The body is not a urlencoded form.") from error
    return Form(_single(MultiDict(pairs)), MultiDict())


def _multipart(open_part: Callable[..., IO[bytes]]) -> Form:
    parser = FormDataParser(
        stream_factory=open_part, max_form_memory_size=_FIELDS_BYTES, max_form_parts=_PARTS, silent=False
    )
    try:
        _, fields, files = parser.parse(
            request.stream, request.mimetype, request.content_length, request.mimetype_params
        )
    except ValueError as error:
        raise FarmError("CS-UORC01-002", "The body is not a whole multipart form.") from error
    except RequestEntityTooLarge as error:
        if request.content_length is None or request.content_length <= (request.max_content_length or 0):
            # Not the whole body, then: its fields.
            message = "The form has too many parts, or a field that is too long; a file needs a `filename`."
            raise FarmError("CS-UORC01-002", message) from error
        raise
    return Form(_single(fields), files)


def _small_body() -> bytes:
    body = request.stream.read(_FIELDS_BYTES + 1)
    if len(body) > _FIELDS_BYTES:
        raise FarmError("CS-UORC01-002", "The form is too long; send files as multipart/form-data.")
    return body


def _json(body: bytes) -> list[tuple[str, str]]:
    """The fields of a JSON object; what is no text keeps its JSON form."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FarmError("CS-UORC01-002", "The body is not JSON.") from error
    if not isinstance(data, dict):
        raise FarmError("CS-UORC01-002", "The body is not a JSON object.")
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in data.items()
        if value is not None
    ]


def _single(fields: MultiDict[str, str]) -> dict[str, str]:
    for name, values in fields.lists():
        if not isinstance(name, str):  # as Werkzeug has it for a part that has none
            raise FarmError("CS-UORC01-002", "Every part of the form needs a name.")
        if len(set(values)) > 1:
            raise FarmError("CS-UORC01-002", f"`{name[:60]}` was given more than once.")
    return fields.to_dict()
