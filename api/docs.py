"""The API, described: for programs at ``/openapi.json``, for people at ``/docs``."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, render_template

from api.context import farm
from api.openapi import document

blueprint = Blueprint("docs", __name__, template_folder="templates")


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI document."""
    return jsonify(document(farm().settings.public_url))


@blueprint.get("/docs")
def page() -> str:
    """The same on one page that needs no other: no script, nothing fetched from elsewhere."""
    return render_template("docs.html", api=document(farm().settings.public_url))
