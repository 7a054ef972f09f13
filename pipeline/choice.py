"""Which engine a pool draws with: its model's own, or one that a setting chooses, for development.

    (empty)                  the model's own engine
    fixed:ms=200             takes 200 ms a frame without the processor, as a graphics card does
    fixed:ms=200,mark=b      and its picture shows by a tint who drew it

All of it is in the engine's version, and so in the pins of every unit: workers that were told
different things never draw one video together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from pipeline.spec import ENGINES, EngineId, Model

FIXED = "fixed"
#: Raised whenever the fixed engine would draw another picture from the same inputs.
FIXED_VERSION = "1"
#: Nobody waits longer for a frame than for a stalled engine.
_MOST_MS = 30_000
_MARK = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Fixed:
    """How the fixed engine was told to be."""

    #: Milliseconds a frame of a segment.
    ms: int
    #: Lower-case letters and digits; decides the tint.
    mark: str = ""

    @property
    def id(self) -> EngineId:
        mark = f",mark={self.mark}" if self.mark else ""
        return EngineId(FIXED, f"{FIXED_VERSION}+ms={self.ms}{mark}")

    @classmethod
    def parse(cls, options: str) -> Self:
        """What ``ms=200,mark=b`` says; raises ``ValueError`` that tells what is wrong with it."""
        values: dict[str, str] = {}
        for option in options.split(","):
            name, _, value = (part.strip() for part in option.partition("="))
            if name not in {"ms", "mark"}:
                raise ValueError(f"the engine `{FIXED}` has no option {name!r}, only ms and mark")
            if name in values:
                raise ValueError(f"the option {name} is given twice")
            values[name] = value
        ms, mark = values.get("ms", ""), values.get("mark", "")
        if not ms.isascii() or not ms.isdecimal() or int(ms) > _MOST_MS:
            raise ValueError(f"ms={ms!r} is not a whole number of milliseconds from 0 to {_MOST_MS}")
        if "mark" in values and not _MARK.fullmatch(mark):
            raise ValueError(f"mark={mark!r} is not 1 to 16 of a-z and 0-9")
        return cls(int(ms), mark)


def chosen(text: str) -> Fixed | None:
    """The engine that a setting chooses; None: each model's own. Raises ``ValueError``."""
    if not text:
        return None
    word, _, options = text.partition(":")
    if word.strip() != FIXED:
        raise ValueError(f"there is no engine {word.strip()!r} to choose, only `{FIXED}:ms=N[,mark=WORD]`")
    return Fixed.parse(options)


def engine_of(model: Model, text: str = "") -> EngineId:
    """The engine that draws a model's pictures where a setting says ``text``; raises ``ValueError``."""
    fixed = chosen(text)
    return ENGINES[model] if fixed is None else fixed.id
