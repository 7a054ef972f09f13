"""The application, put together."""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

from api import (
    access,
    characters,
    credits,
    docs,
    errors,
    estimate,
    events,
    files,
    health,
    limits,
    metrics,
    render,
    scenes,
    sending,
)
from api.context import Farm
from renderfarm import moderation
from renderfarm.db import Database
from renderfarm.settings import Settings
from renderfarm.storage import open_storage

#: Connections a process keeps open; more are opened when more of its threads need one at once.
_POOL = 8
#: What a form may hold besides its two files: fields, boundaries and the parts' headers.
_FORM_BYTES = 2 << 20


def build(settings: Settings) -> Flask:
    """An application over one database and one store. Nothing connects before the first request."""
    app = Flask("api", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    # No body may be longer than two of the largest files: refused by its length before it is read,
    # and cut off there when it comes without one.
    app.config["MAX_CONTENT_LENGTH"] = 2 * (settings.max_upload_mb << 20) + _FORM_BYTES
    app.extensions["farm"] = Farm(settings, Database(settings.database_url, _POOL), open_storage(settings))
    access.install(app)
    errors.install(app)
    metrics.install(app, settings)
    limits.install(app, settings)
    if settings.trusted_proxies:
        # Only the address: where the API is reached is a setting.
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # how Flask has it done
            app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0
        )
    if settings.moderation:
        moderation.load(settings.moderation)  # told here, not to the first who asks
    app.register_blueprint(scenes.templates_blueprint)
    for room in (render, estimate, events, characters, scenes, sending, credits, files, health, docs):
        app.register_blueprint(room.blueprint)
    app.after_request(_typed)
    return app


def _typed(response: Response) -> Response:
    """An answer to OPTIONS has no body, and so no type."""
    if request.method == "OPTIONS":
        del response.headers["Content-Type"]
    return response
