"""What a worker and the process that draws say to each other: one JSON object a line.

The worker starts ``python -m pipeline serve`` once and keeps it, so that engines are loaded once.
It writes a ``Request`` to its standard input and reads events from its standard output until a
``Done`` or a ``Failed``. There is one request at a time; to stop one, the worker kills the process.

``python -m pipeline render`` runs the same stages in its own process: one way to do the work.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.spec import Plan, RenderSpec, Span, Stage, VideoInfo


@dataclass(frozen=True, slots=True)
class Request:
    """One stage to run.

    ``inputs`` names files: ``picture``, ``video``, ``character``, ``tracks``, ``plate``,
    ``matte-0000`` (one per piece), ``piece-0000``, ``sample-0000``, ``segment-0000``, ``mask-0000``.
    ``spans`` are the pieces (ANALYSE, SAMPLE) or segments (SEGMENT) still to be done, in order;
    empty for the other stages. Outputs are written into the empty folder ``out``.
    """

    stage: Stage
    spec: RenderSpec
    plan: Plan
    out: Path
    inputs: Mapping[str, Path] = field(default_factory=dict)
    #: Known for every stage but REFERENCE.
    video: VideoInfo | None = None
    spans: tuple[Span, ...] = ()
    #: What was found out of ``video`` when it came in (``pipeline.ffmpeg.known``); empty: look anew.
    source: str = ""

    def dumps(self) -> str:
        return json.dumps(
            {
                "stage": self.stage.value,
                "spec": self.spec.to_json(),
                "plan": self.plan.to_json(),
                "out": str(self.out),
                "inputs": {name: str(path) for name, path in self.inputs.items()},
                "video": self.video.to_json() if self.video else None,
                "spans": [span.to_json() for span in self.spans],
                "source": self.source,
            }
        )

    @classmethod
    def loads(cls, line: str) -> Request:
        data = json.loads(line)
        return cls(
            stage=Stage(data["stage"]),
            spec=RenderSpec.from_json(data["spec"]),
            plan=Plan.from_json(data["plan"]),
            out=Path(data["out"]),
            inputs={name: Path(path) for name, path in data["inputs"].items()},
            video=VideoInfo.from_json(data["video"]) if data["video"] else None,
            spans=tuple(Span.from_json(span) for span in data["spans"]),
            source=data.get("source", ""),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Work advanced: ``done`` of ``total`` frames of this request (or steps, where none count)."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Item:
    """One span is finished; its files are complete and will not be touched again.

    ANALYSE: ``piece-0000`` (joints) and ``matte-0000``; SAMPLE: ``sample-0000``; SEGMENT:
    ``segment-0000`` and, for a transparent background, ``mask-0000``. The number is the span's index.
    """

    index: int
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Done:
    """The request is finished.

    ``files``: REFERENCE ``character``; JOIN ``tracks``; PLATE ``plate``; PORTRAIT ``thumbnail`` and,
    of a scene, ``portrait-0000`` (one per person); STITCH ``output``,
    ``thumbnail`` and, for a transparent background, ``mask``. ANALYSE, SAMPLE and SEGMENT have
    theirs in their items. ``facts`` is small JSON that later stages need: JOIN gives ``cuts`` (frame
    numbers) and ``people`` (ids); STITCH gives ``frames`` and ``duration``.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The request failed; ``code`` is one of the farm's public codes."""

    code: str
    message: str
    retryable: bool


Event = Progress | Item | Done | Failed
#: How a stage tells what it has done so far.
Report = Callable[[Progress | Item], None]

_EVENTS: Mapping[str, type[Event]] = {
    "progress": Progress,
    "item": Item,
    "done": Done,
    "failed": Failed,
}
#: What the process that draws has to say besides events, a line each, on its standard error.
LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"
LEVELS = logging.getLevelNamesMapping()
LOG_LINE = re.compile(rf"(?P<level>{'|'.join(LEVELS)}) (?P<logger>[\w.]{{1,100}}): (?P<message>.*)")
#: Half of a character that takes two in UTF-16: JSON can write it, UTF-8 cannot.
_LONE = re.compile("[\ud800-\udfff]")
_NAMES = {kind: name for name, kind in _EVENTS.items()}


#: More frames than any video has.
_MOST = 1 << 31


def dump_event(event: Event) -> str:
    """One line of JSON, without the line's end; ``ValueError`` where a number in it is none."""
    return json.dumps({"event": _NAMES[type(event)], **asdict(event)}, allow_nan=False)


def load_event(line: str) -> Event:
    """The event of one line; raises ``ValueError`` where it is none, or is not fit for a row."""
    try:
        data = json.loads(line, parse_constant=_number, parse_float=_number)
        event = _EVENTS[data.pop("event")](**data)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no event: {error}") from error
    if not _is_sound(event) or ("\\u" in line and not _is_text(data)):
        raise ValueError("an event with values that are none")
    return event


def _number(word: str) -> float:
    """What JSON's grammar, or Python's extension of it, calls a number; rows take finite ones alone."""
    if not math.isfinite(value := float(word)):
        raise ValueError(f"{word} is no number that a row can keep")
    return value


def _is_sound(event: Event) -> bool:
    match event:
        case Progress(done, total):
            return _is_count(done) and _is_count(total)
        case Item(index, files):
            return _is_count(index) and _is_files(files)
        case Done(files, facts):
            return _is_files(files) and isinstance(facts, dict)
        case Failed(code, message, retryable):
            return isinstance(code, str) and isinstance(message, str) and isinstance(retryable, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _is_files(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(path, str) for path in value.values())


def _is_text(value: object) -> bool:
    """Whether all text in it can be kept in a row, which takes neither NUL nor half a character."""
    if isinstance(value, dict):
        return all(_is_text(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return all(map(_is_text, value))
    return not isinstance(value, str) or ("\0" not in value and not _LONE.search(value))
