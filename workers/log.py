"""Log lines of a worker: one each, and each says which unit it is about."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from renderfarm import redact
from renderfarm.settings import Settings

#: Celery says once more what the runner says with more words.
_TALKATIVE = ("celery.worker.strategy", "celery.app.trace", "celery.redirected")

# A process works on one unit at a time, in several threads: a variable of the process is what fits.
_current = {"unit": "-"}


class _OneLine(logging.Formatter):
    """``time level worker unit message``; a traceback follows on the same line."""

    def __init__(self, worker: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)-7s {worker} %(unit)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.unit = _current["unit"]
        return " | ".join(line for line in super().format(record).splitlines() if line.strip())


def configure(settings: Settings, worker: str, stream: TextIO = sys.stderr) -> None:
    """Send every log line of this process and its children to ``stream``."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_OneLine(worker))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    redact.install(settings)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def about(unit_id: str, attempt: int) -> Iterator[None]:
    """Name the unit and its attempt on every line until the end of the block."""
    _current["unit"] = f"{unit_id}#{attempt}"
    try:
        yield
    finally:
        _current["unit"] = "-"
