"""The process that draws, as the worker sees it: ``python -m pipeline serve``, kept warm.

    DrawingError            a request that did not end in ``Done``; has a public code
    |-- StageFailed             the process said so itself, and why
    |-- DrawingDied             it ended, or wrote what is not the protocol
    `-- DrawingHung             it made no progress for too long, and was killed

It is started with the worker and kept for all requests, so that engines are loaded once.
Whoever stops listening in the middle of a request, for whatever reason, ends the process and all
that it started: it leads a process group of its own.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import IO

from pipeline.protocol import (
    LEVELS,
    LOG_LINE,
    Done,
    Event,
    Failed,
    Item,
    Progress,
    Request,
    load_event,
)
from renderfarm.settings import Settings
from workers.environment import for_drawing

log = logging.getLogger(__name__)

#: What draws with each model's own engine; tests put smaller programs in its place.
COMMAND = (sys.executable, "-m", "pipeline", "serve")
#: How often a waiting worker looks up, in seconds: a cancel is at most this old when it is seen.
TICK = 0.25
#: An event longer than this is none.
LINE_LENGTH = 1 << 20
#: Characters of standard error that an error carries.
STDERR_LENGTH = 2000


def command_of(settings: Settings, queue: str) -> tuple[str, ...]:
    """What a worker of the queue draws with, where a setting chooses another engine than its model's own."""
    engine = {"v3": settings.engine_v3, "v4": settings.engine_v4}.get(queue, "")
    return (*COMMAND, "--engine", engine) if engine else COMMAND


class DrawingError(Exception):
    """A request did not end in ``Done``. The message is fit for users."""

    code = "CS-UORC01-103"
    retryable = True
    #: The end of the process's standard error, for those who run the farm.
    detail = ""


class StageFailed(DrawingError):
    """The stage failed and said why."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.code = failed.code
        self.retryable = failed.retryable


class DrawingDied(DrawingError):
    """The process that draws ended in the middle of a request."""


class DrawingHung(DrawingError):
    """The process that draws made no progress within its limit."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request may go without progress, in seconds."""

    #: Until the first frame: engines are loaded then.
    setup: float = 600.0
    #: Between one frame and the next.
    stall: float = 60.0


class Drawing:
    """Runs requests in a process that outlives them. Not for use by several threads at once."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._process: _Process | None = None

    @property
    def pid(self) -> int | None:
        """The process that is kept, if there is one."""
        return self._process.pid if self._process else None

    def run(
        self, request: Request, patience: Patience, tick: Callable[[], None]
    ) -> Generator[Progress | Item | Done, None, None]:
        """The events of one request, as they come; the last is ``Done``. Raises ``DrawingError``.

        ``tick`` is called at least every ``TICK`` seconds; what it raises stops the drawing.
        """
        process = self.warm()
        finished = False
        try:
            process.send(request)
            awaited = _Awaited(patience)
            while not finished:
                tick()
                event = process.next_event(TICK)
                if isinstance(event, Failed):
                    # After an error of the input the process is as good as before; after any other
                    # (no memory, a broken engine) a fresh one is the better bet.
                    finished = not event.retryable
                    raise StageFailed(event)
                awaited.saw(event)
                if event is not None:
                    finished = isinstance(event, Done)
                    yield event
        except DrawingError as error:
            if not finished:
                self.close()  # then all that it wrote is read
            error.detail = process.stderr
            raise
        finally:
            if not finished:
                self.close()

    def close(self) -> None:
        """End the process and everything it started. It starts again with the next request."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def warm(self) -> _Process:
        """Start the process if none lives, so that the next request need not wait for its start.

        It dies with the thread that started it: to be called by the one that runs the requests.
        """
        if self._process is not None and not self._process.alive:
            self.close()
        if self._process is None:
            self._process = _Process(self._command)
        return self._process


class _Awaited:
    """Knows when the next frame is overdue. Saying the same number again is not progress."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._most = 0
        self._limit = patience.setup
        self._since = time.monotonic()

    def saw(self, event: Event | None) -> None:
        """Take note of an event, or of none; raises ``DrawingHung`` when it has been too long."""
        advanced = event is not None
        if isinstance(event, Progress):
            advanced = event.done > self._most
            self._most = max(self._most, event.done)
        if advanced:
            self._limit, self._since = self._patience.stall, time.monotonic()
        elif time.monotonic() - self._since > self._limit:
            raise DrawingHung(f"The engine made no progress for {self._limit:g} s after frame {self._most}.")


class _Process:
    """One life of the process: its pipes and the threads that read them."""

    def __init__(self, command: Sequence[str]) -> None:
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=for_drawing(os.environ),
            start_new_session=True,  # a group of its own, and no Ctrl-C from the terminal
        )
        assert self._popen.stdin and self._popen.stdout and self._popen.stderr
        self.pid = self._popen.pid
        self._input = self._popen.stdin
        self._events: SimpleQueue[Event | _End] = SimpleQueue()
        self._stderr = _Tail(self._popen.stderr)
        self._writer: threading.Thread | None = None
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._popen.stdout,), daemon=True),
            threading.Thread(target=self._stderr.read, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def alive(self) -> bool:
        return self._readers[0].is_alive()  # not poll(): see kill()

    @property
    def stderr(self) -> str:
        """The end of what it wrote there so far."""
        return self._stderr.text

    def send(self, request: Request) -> None:
        """Write the request, in a thread: one that does not read must not hold up whoever watches it."""
        self._writer = threading.Thread(target=self._write, args=(f"{request.dumps()}\n",), daemon=True)
        self._writer.start()

    def next_event(self, seconds: float) -> Event | None:
        """The next event, or None after ``seconds``; raises ``DrawingDied`` at the end."""
        try:
            event = self._events.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(event, _End):
            self.kill()
            raise DrawingDied(self._obituary(event))
        return event

    def kill(self) -> None:
        # First the group, then wait: until the leader is waited for, its number is not given anew.
        if self._popen.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a dead leader
                os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        for reader in self._readers:
            reader.join(timeout=1)  # a stray that left the group may hold the pipe open
        if self._writer is not None:
            self._writer.join(timeout=1)
        if self._writer is None or not self._writer.is_alive():
            with suppress(BrokenPipeError):
                self._input.close()

    def _write(self, line: str) -> None:
        with suppress(BrokenPipeError):  # it died: its end is the next event
            self._input.write(line.encode())
            self._input.flush()

    def _read_events(self, pipe: IO[bytes]) -> None:
        reason = ""
        with pipe:
            while line := pipe.readline(LINE_LENGTH):
                try:
                    self._events.put(load_event(line.decode()))
                except ValueError:
                    reason = f"wrote what is no event: {line[:80]!r}"
                    break
        self._events.put(_End(reason))

    def _obituary(self, end: _End) -> str:
        if end.reason:
            return f"The process that draws {end.reason}."
        code = self._popen.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        return f"The process that draws {how}."


@dataclass(frozen=True, slots=True)
class _End:
    """No more events; ``reason`` says why where it was not the process's own end."""

    reason: str = ""


class _Tail:
    """Reads a pipe to its end, logs its lines and keeps the last of them.

    A line in the words of ``protocol.LOG_FORMAT`` is as grave as it says; what libraries print is not.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._begun = b""

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()

    def read(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 1 << 16):
                self._kept = (self._kept + chunk)[-STDERR_LENGTH:]
                *lines, self._begun = (self._begun + chunk).split(b"\n")
                if len(self._begun) > LINE_LENGTH:
                    lines, self._begun = [*lines, self._begun], b""
                for line in lines:
                    _relay(line.decode(errors="replace"))
        _relay(self._begun.decode(errors="replace"))


def _relay(line: str) -> None:
    if said := LOG_LINE.fullmatch(line):
        logging.getLogger(said["logger"]).log(LEVELS[said["level"]], "%s", said["message"])
    elif line.strip():
        log.debug("drawing: %s", line)
