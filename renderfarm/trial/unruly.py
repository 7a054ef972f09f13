"""``python -m renderfarm.trial.unruly HOW TOKEN COMMAND...``: an engine that misbehaves.

Passes on what a worker and the real process that draws (COMMAND) say to each other, but misbehaves once it
could remove the file TOKEN; ``-`` stands for always. It leads the worker's process group, as COMMAND would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

Event = dict[str, Any]
#: Of the address space, over what the engine has already: too little to draw anything.
_SPARE_BYTES = 1 << 20


class How(StrEnum):
    """What goes wrong, all of it in the middle of the analysis or the drawing unless it says so."""

    HANGS = "hangs"
    REPEATS = "repeats"  # says the same progress again and again
    EXITS = "exits"
    RAISES = "raises"
    BABBLES = "babbles"  # what it writes is no event
    EATS_MEMORY = "eats memory"  # the machine has none left for the real engine
    TOO_FEW = "too few"  # says that it is done, and left a segment out
    TWICE = "twice"  # hands the same segment in again
    TRUNCATES = "truncates"  # half of a segment's bytes
    DOUBLES = "doubles"  # each frame of a segment twice
    NAN_PROGRESS = "nan progress"
    NAN_FACTS = "nan facts"  # at the end of the stage that joins


class Unruly:
    """Between the worker's pipes and the real engine's."""

    def __init__(self, how: How, token: str, command: list[str]) -> None:
        self._how = how
        self._token = token
        self._out = Path()
        self._engine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self) -> None:
        """Until either side ends."""
        assert self._engine.stdout
        threading.Thread(target=self._requests, daemon=True).start()
        for line in self._engine.stdout:
            for event in self._misdeeds(json.loads(line)):
                self._say(event)

    def _requests(self) -> None:
        assert self._engine.stdin
        for line in sys.stdin:
            request = json.loads(line)
            self._out = Path(request["out"])
            if self._how is How.EATS_MEMORY and request["spans"] and self._may():
                limit = psutil.Process(self._engine.pid).memory_info().vms + _SPARE_BYTES
                psutil.Process(self._engine.pid).rlimit(psutil.RLIMIT_AS, (limit, limit))
            self._engine.stdin.write(line)
            self._engine.stdin.flush()
        os._exit(0)  # the worker is gone; the engine finds its own input at its end

    def _misdeeds(self, event: Event) -> list[Event]:
        """What is said instead of an event."""
        deed = _DEEDS.get(self._how)
        kind, when = _MOMENTS.get(self._how, ("item", lambda _: True))
        if deed is None or event["event"] != kind or not when(event) or not self._may():
            return [event]
        return deed(self, event)

    def _may(self) -> bool:
        if self._token == "-":
            return True
        try:
            Path(self._token).unlink()
        except FileNotFoundError:
            return False
        return True

    def _say(self, event: Event) -> None:
        with suppress(BrokenPipeError):
            print(json.dumps(event), flush=True)

    def hang(self, event: Event) -> list[Event]:
        while True:
            time.sleep(60)

    def repeat(self, event: Event) -> list[Event]:
        while True:
            self._say(event)
            time.sleep(0.05)

    def exit(self, event: Event) -> list[Event]:
        print("the device fell off the bus", file=sys.stderr, flush=True)
        os._exit(3)

    def fail(self, event: Event) -> list[Event]:
        failed = {"code": "CS-UORC01-103", "message": "The engine failed.", "retryable": True}
        return [{"event": "failed", **failed}]

    def babble(self, event: Event) -> list[Event]:
        print("Loading weights: 100%", flush=True)
        return [event]

    def drop(self, event: Event) -> list[Event]:
        return []

    def say_twice(self, event: Event) -> list[Event]:
        return [event, event]

    def truncate(self, event: Event) -> list[Event]:
        for file in event["files"].values():
            path = self._out / file
            os.truncate(path, path.stat().st_size // 2)
        return [event]

    def double(self, event: Event) -> list[Event]:
        for file in event["files"].values():
            if (path := self._out / file).suffix == ".mp4":
                twice = path.with_name(f"twice-{path.name}")
                command = [
                    "ffmpeg",
                    "-v",
                    "error",
                    "-stream_loop",
                    "1",
                    "-i",
                    str(path),
                    "-c",
                    "copy",
                    str(twice),
                ]
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
                twice.replace(path)
        return [event]

    def no_number(self, event: Event) -> list[Event]:
        return [{**event, "done": float("nan")}, event]

    def no_fact(self, event: Event) -> list[Event]:
        return [{**event, "facts": {**event["facts"], "noise": float("nan")}}]


_DEEDS: dict[How, Callable[[Unruly, Event], list[Event]]] = {
    How.HANGS: Unruly.hang,
    How.REPEATS: Unruly.repeat,
    How.EXITS: Unruly.exit,
    How.RAISES: Unruly.fail,
    How.BABBLES: Unruly.babble,
    How.TOO_FEW: Unruly.drop,
    How.TWICE: Unruly.say_twice,
    How.TRUNCATES: Unruly.truncate,
    How.DOUBLES: Unruly.double,
    How.NAN_PROGRESS: Unruly.no_number,
    How.NAN_FACTS: Unruly.no_fact,
}


def _is_segment(event: Event) -> bool:
    return any(name.startswith("segment-") for name in event["files"])


#: The kind of event at which it happens, and which of them; else at the first item.
_MOMENTS: dict[How, tuple[str, Callable[[Event], bool]]] = {
    How.REPEATS: ("progress", lambda event: bool(event["done"])),
    How.NAN_PROGRESS: ("progress", lambda event: bool(event["done"])),
    How.NAN_FACTS: ("done", lambda event: "cuts" in event["facts"]),
    How.TOO_FEW: ("item", _is_segment),
    How.TWICE: ("item", _is_segment),
    How.TRUNCATES: ("item", _is_segment),
    How.DOUBLES: ("item", _is_segment),
}


if __name__ == "__main__":
    Unruly(How(sys.argv[1]), sys.argv[2], sys.argv[3:]).run()
