"""Wait for a condition with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
#: Between two looks: what is asked costs the processors that the farm works with.
_EVERY_SECONDS = 0.04


class InVain(Exception):
    """What was waited for did not come in time."""


def until(condition: Callable[[], T | None], seconds: float, what: str = "") -> T:
    """The first answer of ``condition`` that is true; raises ``InVain`` when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise InVain(f"waited {seconds:g} s in vain for {what or 'a condition'}")
        time.sleep(_EVERY_SECONDS)
