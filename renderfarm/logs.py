"""The log of a process: one line for each thing said, as text or as JSON, and never a secret in it.

Every entry point begins with ``configure``. What a line is about it takes from ``context``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from renderfarm import context
from renderfarm.redact import redact
from renderfarm.settings import Settings

log = logging.getLogger(__name__)

#: Libraries that say with every message what ours say with more words, or what nobody asked for.
_QUIET = {
    "celery.worker.strategy": logging.WARNING,
    "celery.app.trace": logging.WARNING,
    "celery.redirected": logging.WARNING,
    "celery.apps.worker": logging.WARNING,
    "flower.command": logging.WARNING,
    "flower.inspector": logging.ERROR,  # that a worker which is just starting, or stopping, does not answer
    "kombu": logging.WARNING,
    "tornado.access": logging.WARNING,
    "alembic": logging.WARNING,
}
#: Characters of one value; of a traceback the end is kept. Collectors cut lines at 16 KB.
_LONGEST = 6000
#: What is looked through for secrets before it is cut, or the half of one might stay.
_SEARCHED = 1 << 20
#: What a line of text leaves out: a unit's id says it.
_IN_UNIT = frozenset({"job", "stage", "attempt"})


def configure(settings: Settings, process: str, stream: TextIO | None = None) -> None:
    """Send all that this process and its children say to ``stream``, and what they die of, too."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter(settings, process))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _died
    threading.excepthook = _ended
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)


def formatter(settings: Settings, process: str) -> logging.Formatter:
    """What makes a line of a record, as ``FARM_LOG_FORMAT`` wants it."""
    return (_Json if settings.log_format == "json" else _Text)(process, settings.s3_secret_key)


class _Lines(logging.Formatter):
    """What a line says, without secrets: each value by itself, since one format's marks may hide them."""

    def __init__(self, process: str, known: str) -> None:
        super().__init__()
        self._process = process
        self._known = known

    def entry(self, record: logging.LogRecord) -> dict[str, object]:
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "process": self._process,
            "pid": os.getpid(),
            "message": self._clean(_message(record)),
        }
        said |= {name: self._clean(value) for name, value in {**context.current(), **_fields(record)}.items()}
        if record.exc_info:
            said["exception"] = self._end_of(self.formatException(record.exc_info))
        if record.stack_info:
            said["stack"] = self._end_of(self.formatStack(record.stack_info))
        return said

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return redact(str(value)[:_SEARCHED], self._known)[:_LONGEST]

    def _end_of(self, trace: str) -> str:
        return redact(trace[-_SEARCHED:], self._known)[-_LONGEST:]


class _Json(_Lines):
    """One object a line. All but ASCII is escaped: no character can end it, or be none."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.entry(record))


class _Text(_Lines):
    """``time level process[pid] logger: message [what it is about] | traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        said = self.entry(record)
        about = " ".join(_about({name: said[name] for name in context.current()}))
        head = f"{said['time']} {said['level']:<7} {said['process']}[{said['pid']}] {said['logger']}:"
        parts = [f"{head} {said['message']}{f' [{about}]' if about else ''}"]
        parts += [str(said[name]) for name in ("exception", "stack") if name in said]
        lines = [line.rstrip() for part in parts for line in part.splitlines() if line.strip()]
        return _printable(" | ".join(lines))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # what is wrong with a line must not hide it, nor print it past the net
        return f"{record.msg!s} % {record.args!r}"


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    """What a line has for machines besides its words: ``extra={"fields": {...}}``."""
    found: Mapping[str, object] = getattr(record, "fields", {})
    return found


def _about(fields: context.Fields) -> list[str]:
    unit = fields.get("unit")
    shown = {name: value for name, value in fields.items() if unit is None or name not in _IN_UNIT}
    if unit is not None and "attempt" in fields:
        shown["unit"] = f"{unit}#{fields['attempt']}"
    return [f"{name}={value}" for name, value in shown.items()]


def _printable(line: str) -> str:
    """The line without what would move a terminal's cursor, or turn its text around."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def _died(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("the process ends", exc_info=(kind, error, trace))


def _ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        name = ended.thread.name if ended.thread else "?"
        log.error("the thread %s ended", name, exc_info=ended.exc_value)
