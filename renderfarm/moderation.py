"""Whether a request may be taken at all: a plug-in's word on it, before anything is held or kept.

``FARM_MODERATION=package.module:callable`` names it; without one everything is allowed. It is called with a
``Request`` and returns None to allow, or the reason for which it refuses. One that raises, or says nothing
for ``moderation_seconds``, allows nothing, unless ``moderation_fails_open``.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from renderfarm.errors import FarmError
from renderfarm.settings import Settings, SettingsError

log = logging.getLogger(__name__)

#: Judgements that may go on at once in a process, those that nobody waits for any more among them.
_AT_ONCE = 8
_COME_BACK = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be judged."""

    account_id: str
    #: ``render``, ``character`` or ``scene``.
    kind: str
    model: str = ""
    mode: str = ""
    #: SHA-256 of each file, and the storage key under which it lies, by the name of its field.
    sha256: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    #: Ids of stored assets, by the name of their field.
    assets: Mapping[str, str] = field(default_factory=dict)
    #: Every other field that was sent.
    fields: Mapping[str, Any] = field(default_factory=dict)


#: Why a request is refused; None where it is allowed.
Moderator = Callable[[Request], str | None]


def moderate(settings: Settings, asked: Request) -> None:
    """Return where it is allowed; CS-UORC01-117 with the reason where not, CS-UORC01-122 without a word."""
    if not settings.moderation:
        return
    moderator = load(settings.moderation)
    judging: Future[str | None] = _judges().submit(moderator, asked)
    try:
        reason = judging.result(settings.moderation_seconds)
        if reason is not None and not isinstance(reason, str):
            raise TypeError(f"it answered {reason!r}")
    except Exception as error:  # whatever it is, it has not allowed anything
        judging.cancel()
        log.exception("the moderation %s has not answered", settings.moderation)
        if settings.moderation_fails_open:
            return
        raise FarmError("CS-UORC01-122", retry_after=_COME_BACK) from error
    if reason is not None:
        raise FarmError("CS-UORC01-117", reason)


@lru_cache(maxsize=4)
def load(name: str) -> Moderator:
    """The plug-in of that name; ``SettingsError`` where it cannot be had."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"FARM_MODERATION={name!r} cannot be loaded: {error}") from error
    if not callable(found):
        raise SettingsError(f"FARM_MODERATION={name!r} is not callable")
    moderator: Moderator = found
    return moderator


@lru_cache(maxsize=1)
def _judges() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, "moderation")
