"""What the programs' logs say at WARNING or above: grouped by its shape, and judged by whether it is known.

How a line is read stands here alone: as JSON, an object a line, or in each program's own form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

#: Levels that an operator looks at; each program's own words for them, and a line in no known form.
UNKNOWN = "?"
_LOUD = {"WARN", "WARNING", "ERROR", "CRIT", "CRITICAL", "FATAL", "PANIC", "#", UNKNOWN}
_REDIS, _POSTGRES, _SUPERVISOR = "redis", "postgres", "supervisor"
_FORMS = {
    _REDIS: re.compile(r"\d+:[A-Z] .{20,24}? (?P<level>[.\-*#]) (?P<message>.*)"),
    _POSTGRES: re.compile(r"[-\d]+ [:.\d]+ \w+ \[\d+\] (?P<level>[A-Z]+\d?):  ?(?P<message>.*)"),
    _SUPERVISOR: re.compile(r"[-\d]+ [:,\d]+ (?P<level>[A-Z]+) (?P<message>.*)"),
}
#: Workers and Flower; the dispatcher and its like; gunicorn.
_OURS = (
    re.compile(r"[-\d]+ [:,\d]+ (?P<level>[A-Z]+) +\S+ \S+ (?P<message>.*)"),
    re.compile(r"(?P<level>[A-Z]+) (?P<message>[\w.]+: .*)"),
    re.compile(r"\[[-\d]+ [:\d]+ [+\d]+\] \[\d+\] \[(?P<level>[A-Z]+)\] (?P<message>.*)"),
)
#: What differs from one line to the next of the same shape.
_VARYING = (
    (re.compile(r"\b[a-z]+_[a-z0-9]{16,}(:[a-z]+:\d+)?(#\d+)?"), "<id>"),
    (re.compile(r"\S+[:@](v3|v4|cpu|fetch)-\d+-[0-9a-f]+|(v3|v4|cpu|fetch)-\d+-[0-9a-f]+\S*"), "<worker>"),
    (re.compile(r"(?<!\w)/[\w./-]{6,}"), "<path>"),
    (re.compile(r"\b0x[0-9a-f]+\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{32,}\b"), "<hex>"),
    (re.compile(r"\d+([.:]\d+)*"), "<n>"),
)
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log, with what belongs to it."""

    program: str
    level: str
    message: str

    @property
    def loud(self) -> bool:
        return self.level in _LOUD

    @property
    def shape(self) -> str:
        """What all such lines have in common."""
        found = self.message
        for pattern, word in _VARYING:
            found = pattern.sub(word, found)
        return found[:_LONGEST]


@dataclass(frozen=True, slots=True)
class Known:
    """Lines that nobody minds in a soak: ``reason`` says why an operator would not."""

    program: re.Pattern[str]
    shape: re.Pattern[str]
    reason: str


def known(program: str, shape: str, reason: str) -> Known:
    return Known(re.compile(program), re.compile(shape), reason)


#: All that may be said at WARNING or above while a farm works and is replaced, in this one place.
KNOWN: Sequence[Known] = (
    known(
        _REDIS,
        r"Redis is starting|^Redis version|^Configuration loaded|^Server initialized",
        "Redis tells of each start at this level",
    ),
    known(
        _REDIS, r"Memory overcommit must be enabled", "about the machine, where it is not set up for Redis"
    ),
    known(
        _POSTGRES, r"^the database system is starting up$", "`farm up` asks until the answer is another one"
    ),
    known(
        r"worker-\w+",
        r"^worker: Warm shutdown \(MainProcess\)$",
        "Celery writes this past the log when a worker is told to go",
    ),
    known(
        r"worker-\w+",
        r"Requeuing undeliverable message for queue .*: No consumers",
        "a message that reaches a worker which has just ceased to consume goes back to its queue",
    ),
)


@dataclass(frozen=True, slots=True)
class Group:
    """Lines of one shape."""

    program: str
    level: str
    shape: str
    #: Why nobody minds; empty: somebody has to look.
    reason: str
    #: The first of them, as it was.
    example: str
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        return {
            "program": self.program,
            "level": self.level,
            "count": self.count,
            "shape": self.shape,
            "known": self.reason,
            "example": self.example,
        }


def loud(folder: Path, knowns: Sequence[Known] | None = None) -> list[Group]:
    """What the logs in a folder say at WARNING or above, the most frequent first."""
    knowns = KNOWN if knowns is None else knowns
    groups: dict[tuple[str, str, str], Group] = {}
    for path in sorted(folder.glob("*.log*")):  # a log that was turned over has a number behind its name
        for line in read(path.name.partition(".")[0], path.read_text(errors="replace").splitlines()):
            if not line.loud:
                continue
            kind = re.sub(r"^(worker-[a-z0-9]+)-\d+$", r"\1", line.program)
            key = (kind, line.level, line.shape)
            if key in groups:
                groups[key] = replace(groups[key], count=groups[key].count + 1)
            else:
                groups[key] = Group(*key, _reason(kind, line.shape, knowns), line.message[: 2 * _LONGEST])
    return sorted(groups.values(), key=lambda group: (bool(group.reason), -group.count))


def read(program: str, lines: Sequence[str]) -> Iterator[Line]:
    """A log's lines; what is in no known form belongs to a loud line before it, else it is one itself."""
    last: Line | None = None
    for text in filter(str.strip, lines):
        line = _read(program, text)
        if line is None and last is not None and last.loud:
            last = replace(last, message=f"{last.message} | {text.strip()}")
            continue
        if last is not None:
            yield last
        last = line or Line(program, UNKNOWN, text.strip())
    if last is not None:
        yield last


def _read(program: str, text: str) -> Line | None:
    if text.startswith("{"):
        try:
            told = json.loads(text)
        except ValueError:
            return None
        parts = [str(told[name]) for name in ("message", "exception") if told.get(name)]
        return Line(program, str(told.get("level", UNKNOWN)).upper(), " | ".join(parts) or text)
    own = _FORMS.get(program)
    for form in (own,) if own else _OURS:
        if found := form.fullmatch(text):
            return Line(program, found["level"], found["message"])
    return None


def _reason(program: str, shape: str, knowns: Sequence[Known]) -> str:
    return next(
        (each.reason for each in knowns if each.program.fullmatch(program) and each.shape.search(shape)), ""
    )
