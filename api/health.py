"""Whether this process is alive, and whether it can do its work."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response
from sqlalchemy import text

from api.context import answer, farm
from api.operation import operation
from api.schemas import Health

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@operation(answers=Health, limited=False)
def alive() -> Response:
    """The process answers; a restart would not help it with what it depends on."""
    return answer(Health(status="ok"))


@blueprint.get("/readyz")
@operation(answers=Health, also={503: ("What it needs does not answer", Health)}, limited=False)
def ready() -> Response:
    """The database and the store answer; 503 where one does not, so that no traffic comes here."""
    checks = {"database": _try(_database), "storage": _try(farm().storage.check)}
    fine = set(checks.values()) == {"ok"}
    return answer(Health(status="ok" if fine else "unavailable", checks=checks), 200 if fine else 503)


def _database() -> None:
    with farm().database.begin() as session:
        session.execute(text("SELECT 1"))


def _try(check: Callable[[], None]) -> str:
    try:
        check()
    except Exception as error:  # whatever it is, the answer is that it does not answer
        return type(error).__name__  # the message may hold an address or a user's name
    return "ok"
