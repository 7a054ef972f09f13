"""The OpenAPI 3.1 document, made from what the views declare (``operation``) and the table of errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.routing import Rule

from api.operation import Body, Operation, PathId, operation_of
from api.schemas import ErrorAnswer
from renderfarm.errors import TABLE

_REF = "#/components/schemas/{model}"
_HEADERS = {
    "X-Request-ID": (
        "By this the farm's logs know the request, and what came of it: the one it was sent with,"
        " where that is up to 64 letters, digits and `._:/+=-`, else a new one.",
        {"type": "string"},
    ),
    "Retry-After": ("In how many seconds the same request may succeed.", {"type": "integer", "minimum": 0}),
    "WWW-Authenticate": ("`Bearer`", {"type": "string"}),
    "RateLimit": ('How much is left, and for how long: `"key";r=599;t=42`.', {"type": "string"}),
    "RateLimit-Policy": ('What is allowed: `"key";q=600;w=60`.', {"type": "string"}),
}
_LIMITS = ("RateLimit", "RateLimit-Policy")


def document(app: Flask, server: str) -> dict[str, Any]:
    """The document of the application, which is reached at ``server``."""
    found = list(_operations(app))
    schemas = _Schemas([declared for _, _, declared, _ in found])
    paths: dict[str, Any] = {}
    for path, method, declared, view in found:
        paths.setdefault(path, {})[method] = _described(schemas, path, declared, view)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Render farm",
            "version": "1",
            "description": "A picture of a character and a driving video go in; the performance comes out.",
        },
        "servers": [{"url": server}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.all.items())),
            "headers": {
                name: {"description": said, "schema": schema} for name, (said, schema) in _HEADERS.items()
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "sk-..."}},
        },
        "x-errors": [
            {"code": row.code, "status": row.status, "message": row.message, "action": row.action}
            for row in TABLE.values()
        ],
    }


def undeclared(app: Flask) -> list[str]:
    """The routes that no ``operation`` describes: none, or a test fails."""
    views = app.view_functions
    return [rule.rule for rule in app.url_map.iter_rules() if operation_of(views[rule.endpoint]) is None]


class _Schemas:
    """The shapes of all operations under ``components``, and how they are referred to."""

    def __init__(self, operations: list[Operation]) -> None:
        wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ErrorAnswer, "serialization"): None}
        for declared in operations:
            for answer in (declared.answers, *(kind for _, kind in declared.also.values())):
                if isinstance(answer, type):
                    wanted[answer, "serialization"] = None
            for taken in (declared.query, declared.body and declared.body.fields):
                if taken:
                    wanted[taken, "validation"] = None
        refs, schemas = models_json_schema(list(wanted), ref_template=_REF)
        self._refs = refs
        self.all: dict[str, Any] = schemas["$defs"]
        self.all["ErrorDetail"]["properties"]["error_code"]["enum"] = list(TABLE)
        # Parameters are documented one by one, where they belong.
        queries = {declared.query for declared in operations if declared.query}
        self._queries: dict[type[BaseModel], dict[str, Any]] = {
            query: self.all.pop(self._name(query)) for query in queries
        }

    def answer(self, model: type[BaseModel]) -> dict[str, Any]:
        ref: dict[str, Any] = self._refs[model, "serialization"]
        return ref

    def parameters(self, query: type[BaseModel]) -> list[dict[str, Any]]:
        """A model's fields as parameters. None may be null: what is absent is not sent."""
        parameters = []
        for name, schema in self._queries[query]["properties"].items():
            kinds = [kind for kind in schema.get("anyOf", [schema]) if kind != {"type": "null"}]
            said = {key: value for key, value in schema.items() if key in ("default", "enum") and value}
            shape = {key: value for key, value in kinds[0].items() if key not in ("description", "title")}
            description = schema.get("description", "")
            parameters.append(
                {"name": name, "in": "query", "schema": said | shape, "description": description}
            )
        return parameters

    def form(self, body: Body) -> dict[str, Any]:
        """The kinds of forms a body may be. With files, another shape: the fields and the files."""
        name = self._name(body.fields)
        fields = {"schema": {"$ref": _REF.format(model=name)}}
        content = {"application/x-www-form-urlencoded": fields, "application/json": fields}
        if not body.files:
            return {"multipart/form-data": fields, **content}
        upload = f"{name.removesuffix('Form')}Upload"
        files = {
            file: {"type": "string", "format": "binary", "description": said}
            for file, said in body.files.items()
        }
        schema = self.all[name]
        self.all[upload] = schema | {"title": upload, "properties": files | schema["properties"]}
        return {"multipart/form-data": {"schema": {"$ref": _REF.format(model=upload)}}, **content}

    def _name(self, taken: type[BaseModel]) -> str:
        return str(self._refs[taken, "validation"]["$ref"]).rpartition("/")[2]


def _operations(app: Flask) -> Iterator[tuple[str, str, Operation, Callable[..., object]]]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if declared := operation_of(view):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield _path(rule), method.lower(), declared, view


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


def _described(
    schemas: _Schemas, path: str, declared: Operation, view: Callable[..., object]
) -> dict[str, Any]:
    summary = (view.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    found: dict[str, Any] = {"summary": summary, "operationId": _operation_id(view)}
    parameters = [_in_path(name, declared.path) for name in re.findall(r"{(\w+)}", path)]
    if declared.query:
        parameters += schemas.parameters(declared.query)
    if parameters := [*parameters, *declared.headers]:
        found["parameters"] = parameters
    if declared.key:
        found["security"] = [{"key": []}]
    if declared.body:
        found["requestBody"] = {"required": True, "content": schemas.form(declared.body)}
    return found | {"responses": _responses(schemas, declared)}


def _operation_id(view: Callable[..., object]) -> str:
    return f"{view.__module__.rpartition('.')[2]}_{view.__name__}"


def _in_path(name: str, known: PathId | None) -> dict[str, Any]:
    schema = {"type": "string"}
    if known and known.name == name:
        schema["pattern"] = f"^{known.pattern}$"
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _responses(schemas: _Schemas, declared: Operation) -> dict[str, Any]:
    """The answers by status: an error's names its codes, and where two meet both are said."""
    answers: dict[int, tuple[str, type[BaseModel] | str | None]] = {
        declared.status: (_meaning(declared.answers), declared.answers),
        **declared.also,
    }
    by_status: dict[int, list[str]] = {}
    for code in declared.all_codes:
        by_status.setdefault(TABLE[code].status, []).append(code)
    by_status.setdefault(503, []).append("CS-UORC01-199")  # the database or the store is away
    found: dict[str, Any] = {}
    for status in sorted({*answers, *by_status}):
        said, kinds = [], []
        if status in answers:
            meaning, kind = answers[status]
            said.append(meaning)
            kinds.append(kind)
        if status in by_status:
            said += [f"{code}: {TABLE[code].message}" for code in by_status[status]]
            kinds.append(ErrorAnswer)
        found[str(status)] = {
            "description": "; ".join(said),
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _heads(status, declared)},
            **_content(schemas, kinds),
        }
    return found


def _meaning(answers: type[BaseModel] | str) -> str:
    return answers if isinstance(answers, str) else (answers.__doc__ or "").strip().partition("\n")[0]


def _heads(status: int, declared: Operation) -> Iterator[str]:
    yield "X-Request-ID"
    if status == 401:
        yield "WWW-Authenticate"
    if status in (429, 503):
        yield "Retry-After"
    if declared.limited:
        yield from _LIMITS


def _content(schemas: _Schemas, kinds: list[type[BaseModel] | str | None]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    models = [kind for kind in kinds if isinstance(kind, type)]
    if models:
        refs = [schemas.answer(model) for model in models]
        content["application/json"] = {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}
    for kind in kinds:
        if isinstance(kind, str):
            content[kind] = {}
    return {"content": content} if content else {}
