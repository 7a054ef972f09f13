"""What every view needs, bound to the application that serves it."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import Response, current_app
from pydantic import BaseModel

from api.probing import Probing
from api.watching import Watching
from renderfarm.db import Database
from renderfarm.estimate import Estimates
from renderfarm.lending import Known
from renderfarm.places import Places
from renderfarm.settings import Settings
from renderfarm.storage import Storage


@dataclass(frozen=True, slots=True)
class Farm:
    """One farm: its settings, rows and files, what is known of them, who probes, who watches."""

    settings: Settings
    database: Database
    storage: Storage
    places: Places = field(default_factory=Places)
    known: Known = field(default_factory=Known)
    estimates: Estimates = field(default_factory=Estimates)
    probing: Probing = field(init=False)
    watching: Watching = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "probing", Probing(self.settings))
        object.__setattr__(self, "watching", Watching(self.settings, self.database, self.places))


def farm() -> Farm:
    """The farm of the application that handles this request."""
    found: Farm = current_app.extensions["farm"]
    return found


def answer(body: BaseModel, status: int = 200) -> Response:
    """``body`` as JSON that no cache keeps."""
    response = Response(body.model_dump_json(), status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
