"""The one task: a unit's id comes in, the runner does the rest. What Flower sees is decided here."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from celery import Celery, Task
from celery.exceptions import Retry
from kombu.exceptions import OperationalError

from renderfarm.messages import TASK
from workers.runner import Outcome, Runner

#: How long a worker stands aside for those that have not failed on a unit.
_ASIDE_SECONDS = 0.1


class UnitFailed(Exception):
    """The unit failed for good, or by what its user sent."""


def register(app: Celery, runner: Callable[[], Runner]) -> None:
    """Give ``app`` the task; ``runner`` is asked for in the process that runs it."""

    @app.task(name=TASK, throws=(UnitFailed,), bind=True)
    def unit(self: Task, unit_id: str) -> str:
        outcome = runner().run(unit_id)
        runner().warm()
        if outcome in {Outcome.FAILED, Outcome.REFUSED}:
            raise UnitFailed(unit_id)
        if outcome in {Outcome.RETRY, Outcome.HANDED_OVER}:
            # RETRY without publishing: the rows, not the broker, bring the unit back.
            raise Retry(outcome.value)
        if outcome is Outcome.ELSEWHERE:
            # To its queue again, where the others listen already; we come a little later.
            with suppress(OperationalError):  # the dispatcher sends what nobody came for
                shown = {"shadow": self.request.shadow, "argsrepr": self.request.argsrepr}
                app.send_task(TASK, args=[unit_id], ignore_result=True, retry=False, **shown)
            time.sleep(_ASIDE_SECONDS)
        return outcome.value
