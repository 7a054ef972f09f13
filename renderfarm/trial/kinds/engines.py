"""Engines that misbehave once, on whichever worker; and one that always does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from renderfarm.trial.case import COMPLETE, LOST, Case, Fault
from renderfarm.trial.farm import unruly_worker
from renderfarm.trial.unruly import How

#: The clock of an engine that hangs.
_IMPATIENT = {"stall_seconds": 2.0, "setup_seconds": 10.0}
#: What nobody notices before the stitching, which cannot draw a segment anew.
_LATE = (How.TRUNCATES, How.DOUBLES)


def faults() -> Iterator[Fault]:
    """Each misdeed once, and those that a worker sees for good."""
    for how in How:
        options = {"workers": {"cpu": 1}, **_IMPATIENT}
        ends = LOST if how in _LATE else COMPLETE
        yield Fault(name=f"an engine {how} once", act=_once(how), farm=options, ends=ends)
    for how in (How.HANGS, How.EXITS, How.RAISES, How.TOO_FEW):
        options = {"workers": {"cpu": 1}, **_IMPATIENT, "max_attempts": 2}
        yield Fault(
            name=f"an engine {how} always", act=_always(how), farm=options, ends=frozenset({"failed"})
        )


def _once(how: How) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        token = case.token()
        for _ in range(2):
            case.farm.add_worker("v4", unruly_worker(how, str(token), case.farm.settings.engine_v4))
        case.farm.wait_ready()
        case.submit()
        case.struck(token)

    return act


def _always(how: How) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        case.farm.add_worker("v4", unruly_worker(how, "-", case.farm.settings.engine_v4))
        case.farm.wait_ready()
        case.submit(1)

    return act
