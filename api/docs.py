"""The API, described: for programs at ``/openapi.json``, for people at ``/docs``."""

from __future__ import annotations

import json

from flask import Blueprint, Response, current_app, render_template

from api.context import farm
from api.openapi import document
from api.operation import operation

_NAME = "farm.documents"
blueprint = Blueprint("docs", __name__, template_folder="templates")


@blueprint.get("/openapi.json")
@operation(answers="application/json", limited=False)
def openapi() -> Response:
    """The OpenAPI document."""
    return Response(_made()[0], mimetype="application/json")


@blueprint.get("/docs")
@operation(answers="text/html", limited=False)
def page() -> str:
    """The same on one page that needs no other: no script, nothing fetched from elsewhere."""
    return _made()[1]


def _made() -> tuple[str, str]:
    """Both, made once a process: they say the same to all."""
    made: tuple[str, str] | None = current_app.extensions.get(_NAME)
    if made is None:
        api = document(current_app, farm().settings.public_url)
        made = json.dumps(api, sort_keys=True), render_template("docs.html", api=api)
        current_app.extensions[_NAME] = made
    return made
