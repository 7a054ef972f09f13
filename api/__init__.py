"""The ingress: HTTP in, rows out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from renderfarm.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application; reads the environment only when no settings are given.

    Imports happen here: gunicorn's configuration lies in this package too, and has to say where the
    processes share their metrics before the metrics' library is first imported.
    """
    from api.app import build
    from renderfarm.settings import Settings

    return build(settings or Settings.from_env())
