"""The OpenAPI 3.1 document, made from the models that the views use and the table of errors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.idempotent import HEADER
from api.schemas import (
    Accepted,
    CreditsAnswer,
    ErrorAnswer,
    Health,
    JobAnswer,
    JobPage,
    RenderForm,
)
from renderfarm.errors import TABLE
from renderfarm.models import JobStatus

_ANSWERS: tuple[type[BaseModel], ...] = (Accepted, CreditsAnswer, ErrorAnswer, Health, JobAnswer, JobPage)
_FILE = {"type": "string", "format": "binary"}
_KEY = ["CS-ORAU-001", "CS-ORAU-002", "CS-UORC01-119"]
#: What a form can be refused with, besides its key and its credits.
_FORM = [
    *(f"CS-ORIV-{number:03}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14)),
    "CS-UORC01-001",
    "CS-UORC01-002",
    "CS-UORC01-111",
    "CS-UORC01-113",
]
_IDEMPOTENCY = {
    "name": HEADER,
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "A word of your choice for this order. Sent again within 24 hours with the same fields "
    "and files, it is answered with the same job, marked `Idempotency-Replayed: true`, and charged once; "
    "with others, or while the first is still coming in, with CS-UORC01-113. A request that was refused "
    "leaves its key free.",
}


def document(server: str) -> dict[str, Any]:
    """The document of a farm that is reached at ``server``."""
    modes: list[tuple[type[BaseModel], Any]] = [(model, "serialization") for model in _ANSWERS]
    _, schemas = models_json_schema(
        [*modes, (RenderForm, "validation")], ref_template="#/components/schemas/{model}"
    )
    definitions = schemas["$defs"]
    files = {"ref_image": _FILE | {"description": "The character's picture: PNG, JPG or WebP."}}
    files["driving_video"] = _FILE | {"description": "The driving video: MP4, MOV, WebM or AVI."}
    form = definitions["RenderForm"]
    definitions["RenderUpload"] = form | {
        "title": "RenderUpload",
        "description": "A picture, a video, and how to render them.",
        "properties": files | form["properties"],
        "required": ["ref_image", "driving_video"],
    }
    definitions["ErrorDetail"]["properties"]["error_code"]["enum"] = list(TABLE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Render farm",
            "version": "1",
            "description": "A picture of a character and a driving video go in; the performance comes out.",
        },
        "servers": [{"url": server}],
        "paths": _paths(),
        "components": {
            "schemas": dict(sorted(definitions.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "sk-..."}},
        },
        "x-errors": [
            {"code": row.code, "status": row.status, "message": row.message, "action": row.action}
            for row in TABLE.values()
        ],
    }


def _paths() -> dict[str, Any]:
    job = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
    limit = _query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20})
    cursor = _query("cursor", {"type": "string"}, "The `next_cursor` of the page before.")
    status = _query("status", {"enum": [status.value for status in JobStatus]})
    files = {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}
    finished = {"200": {"description": "The file"}, "206": {"description": "A range of it"}}
    media = {
        "multipart/form-data": {"schema": _ref("RenderUpload")},
        "application/x-www-form-urlencoded": {"schema": _ref("RenderForm")},
        "application/json": {"schema": _ref("RenderForm")},
    }
    return {
        "/api/render": {
            "post": _operation("Submit a render", Accepted, "202", [*_KEY, "CS-ORCR-001", *_FORM], key=True)
            | {"parameters": [_IDEMPOTENCY], "requestBody": {"required": True, "content": media}},
            "get": _operation("List renders", JobPage, "200", [*_KEY, "CS-UORC01-002"], key=True)
            | {"parameters": [limit, cursor, status]},
        },
        "/api/render/{job_id}": {
            "get": _operation("Show a render", JobAnswer, "200", ["CS-UORC01-110"]) | {"parameters": [job]},
            "delete": _operation(
                "Cancel a render",
                JobAnswer,
                "200",
                [*_KEY, "CS-UORC01-110", "CS-UORC01-112", "CS-UORC01-118"],
                key=True,
            )
            | {"parameters": [job]},
        },
        "/api/credits": {
            "get": _operation("Show credits", CreditsAnswer, "200", [*_KEY, "CS-UORC01-002"], key=True)
            | {"parameters": [limit, cursor]},
        },
        "/files/{key}": {
            "get": {
                "summary": "Fetch a finished file (embedded store only)",
                "parameters": [files],
                "responses": finished | _errors(["CS-UORC01-115"]),
            }
        },
        "/healthz": {"get": _operation("The process is alive", Health, "200", [])},
        "/readyz": {
            "get": _operation("The process can work", Health, "200", [])
            | {
                "responses": {
                    "200": _content("Health", "It can"),
                    "503": _content("Health", "What it needs does not answer"),
                }
            }
        },
    }


def _operation(
    summary: str, body: type[BaseModel], status: str, codes: list[str], *, key: bool = False
) -> dict[str, Any]:
    responses = {status: _content(body.__name__, body.__doc__ or "")} | _errors(codes)
    return {"summary": summary, "responses": responses} | ({"security": [{"key": []}]} if key else {})


def _errors(codes: list[str]) -> dict[str, Any]:
    """The error answers by status; each names its codes. Anything may be CS-UORC01-199."""
    by_status: dict[int, list[str]] = {}
    for code in [*codes, "CS-UORC01-199"]:
        by_status.setdefault(TABLE[code].status, []).append(code)
    return {
        str(status): _content("ErrorAnswer", "; ".join(f"{code}: {TABLE[code].message}" for code in found))
        for status, found in sorted(by_status.items())
    }


def _content(schema: str, description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _query(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
