"""The one task: a unit's id comes in, the runner does the rest. What Flower sees is decided here."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery
from celery.exceptions import Retry

from renderfarm.dispatch import TASK
from workers.runner import Outcome, Runner


class UnitFailed(Exception):
    """The unit failed for good."""


def register(app: Celery, runner: Callable[[], Runner]) -> None:
    """Give ``app`` the task; ``runner`` is asked for in the process that runs it."""

    @app.task(name=TASK, throws=(UnitFailed,))
    def unit(unit_id: str) -> str:
        outcome = runner().run(unit_id)
        if outcome is Outcome.FAILED:
            raise UnitFailed(unit_id)
        if outcome in {Outcome.RETRY, Outcome.HANDED_OVER}:
            # RETRY without publishing: the rows, not the broker, bring the unit back.
            raise Retry(outcome.value)
        return outcome.value
