"""The API, described: for programs at ``/openapi.json``, for people at ``/docs``."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify, render_template

from api.context import farm
from api.openapi import document
from api.operation import operation

blueprint = Blueprint("docs", __name__, template_folder="templates")


@blueprint.get("/openapi.json")
@operation(answers="application/json", limited=False)
def openapi() -> Response:
    """The OpenAPI document."""
    return jsonify(document(current_app, farm().settings.public_url))


@blueprint.get("/docs")
@operation(answers="text/html", limited=False)
def page() -> str:
    """The same on one page that needs no other: no script, nothing fetched from elsewhere."""
    return render_template("docs.html", api=document(current_app, farm().settings.public_url))
