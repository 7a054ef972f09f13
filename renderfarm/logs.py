"""The log of a process: one line for each thing said, as text or as JSON, and never a secret in it.

Every entry point begins with ``configure``. What a line is about it takes from ``context``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from renderfarm import context
from renderfarm.redact import may_tell, redact
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
#: What a line of text is about, besides its unit, or its job.
_ABOUT = ("request", "account")
#: Long values of which the end says most.
_TRACES = ("exception", "stack")


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
    return (_Json if settings.log_format == "json" else _Text)(process, settings.secrets)


class _Lines(logging.Formatter, ABC):
    """What a line says, without secrets.

    Where there may be one, each value is looked through by itself: the marks of a format may hide it.
    """

    def __init__(self, process: str, known: Sequence[str]) -> None:
        super().__init__()
        self._process = process
        self._known = tuple(secret for secret in known if secret)
        self._known_here = {written for each in self._known for written in (each, json.dumps(each)[1:-1])}

    def format(self, record: logging.LogRecord) -> str:
        said = self._said(record)
        line = self._written(said)
        if len(line) <= _LONGEST and not self._may_tell(line):
            return line
        return self._written({name: self._clean(name, value) for name, value in said.items()})

    @abstractmethod
    def _written(self, said: Mapping[str, object]) -> str:
        """The line that says it."""

    def _said(self, record: logging.LogRecord) -> dict[str, object]:
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "process": self._process,
            "pid": os.getpid(),
            "message": _message(record)[:_SEARCHED],
            **context.current(),
            **_fields(record),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)[-_SEARCHED:]
        if record.stack_info:
            said["stack"] = self.formatStack(record.stack_info)[-_SEARCHED:]
        return said

    def _may_tell(self, line: str) -> bool:
        return may_tell(line) or any(secret in line for secret in self._known_here)

    def _clean(self, name: str, value: object) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        clean = redact(str(value)[-_SEARCHED:] if name in _TRACES else str(value)[:_SEARCHED], *self._known)
        return clean[-_LONGEST:] if name in _TRACES else clean[:_LONGEST]


class _Json(_Lines):
    """One object a line. All but ASCII is escaped: no character can end it, or be none."""

    def _written(self, said: Mapping[str, object]) -> str:
        return json.dumps(said, default=str)


class _Text(_Lines):
    """``time level process[pid] logger: message [what it is about] | traceback``."""

    def _written(self, said: Mapping[str, object]) -> str:
        line = f"{said['time']} {said['level']:<7} {said['process']}[{said['pid']}] {said['logger']}:"
        line += f" {said['message']}"
        about = [f"{name}={said[name]}" for name in _ABOUT if name in said]
        if "unit" in said:
            about.append(
                f"unit={said['unit']}#{said['attempt']}" if "attempt" in said else f"unit={said['unit']}"
            )
        elif "job" in said:
            about.append(f"job={said['job']}")
        if about:
            line += f" [{' '.join(about)}]"
        for name in _TRACES:
            if name in said:
                line += f"\n{said[name]}"
        return line if line.isprintable() else _one_line(line)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # what is wrong with a line must not hide it, nor print it past the net
        return f"{record.msg!s} % {record.args!r}"


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    """What a line has for machines besides its words: ``extra={"fields": {...}}``."""
    found: Mapping[str, object] = getattr(record, "fields", {})
    return found


def _one_line(text: str) -> str:
    """All in one line, without what would move a terminal's cursor, or turn its text around."""
    line = " | ".join(each.rstrip() for each in text.splitlines() if each.strip())
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
