"""What is worked on just now: the fields that every line of a log carries, whoever writes it.

    request    the correlation id: of the request, or of the one that brought the job
    account    for whom
    job, unit, stage, attempt

Set once, where a request or a unit begins, and gone at its end.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token

#: The header that brings a correlation id and takes it back.
HEADER = "X-Request-ID"
Fields = Mapping[str, object]

#: What others' ids are made of (nginx, load balancers, W3C), and nothing that could end a line.
_SANE = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
_NOTHING: Fields = {}
#: Of a thread, or of what a thread does at a time.
_here: ContextVar[Fields] = ContextVar("here", default=_NOTHING)


class _Process:
    """What all threads of a process do, in one that does one thing at a time."""

    fields: Fields = _NOTHING


def current() -> dict[str, object]:
    """The fields as they are now, here."""
    return {**_Process.fields, **_here.get()}


def request_id() -> str | None:
    """The correlation id of what is worked on, if it has one."""
    found = current().get("request")
    return None if found is None else str(found)


def accepted(sent: str | None) -> str:
    """The correlation id that came along where it is fit to be logged, else a new one."""
    return sent if sent and _SANE.fullmatch(sent) else secrets.token_hex(16)


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """Add these fields until the end of the block, for this thread; those that are None say nothing."""
    token = _here.set({**_here.get(), **_known(fields)})
    try:
        yield
    finally:
        _here.reset(token)


@contextmanager
def all_about(**fields: object) -> Iterator[None]:
    """The same for all threads of the process.

    A worker has one unit at a time and several threads, of which some outlive the unit: what reads the
    drawing's complaints is older than any.
    """
    _Process.fields = _known(fields)
    try:
        yield
    finally:
        _Process.fields = _NOTHING


def begin(**fields: object) -> Token[Fields]:
    """Nothing but these fields from here on, for this thread, whatever was left there; see ``end``."""
    return _here.set(_known(fields))


def note(**fields: object) -> None:
    """Add what was found out on the way, until what began has its end; nothing where nothing has begun."""
    if not _here.get():
        return
    _here.set({**_here.get(), **_known(fields)})


def end(token: Token[Fields]) -> None:
    """What had begun is over."""
    _here.reset(token)


def _known(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}
