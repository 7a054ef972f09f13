"""The process that draws: requests come in on standard input, events go out on standard output.

One request at a time, in the words of ``pipeline.protocol``. The engines stay loaded between
requests. Standard output belongs to the protocol: whatever a library prints goes to standard error.
The end of standard input means that the worker is gone, and ends this process and its group, also in
the middle of a request: to stop a request is to end the process.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TextIO

from pipeline.choice import Fixed
from pipeline.errors import OutOfMemory, PipelineError
from pipeline.protocol import LOG_FORMAT, Done, Event, Failed, Report, Request, dump_event
from pipeline.spec import Stage
from pipeline.threads import fix_environment

log = logging.getLogger(__name__)

#: Runs one request; ``pipeline.stages.run``.
Run = Callable[[Request, Report], Done]
#: Longer messages are cut: they are shown to users and kept in rows.
MESSAGE_LENGTH = 500
_PR_SET_PDEATHSIG = 1


def serve(run: Run | None = None, fixed: Fixed | None = None) -> None:
    """Answer requests until standard input ends. ``run`` stands in for the real stages.

    ``fixed`` is what the stages draw with instead of each model's own engine.
    """
    _die_with_parent()
    fix_environment()
    _log_lines()
    wire = _Wire(_reserve_stdout())
    requests: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, requests), name="requests", daemon=True).start()
    run = run or _stages(fixed)
    while True:
        wire.send(answer(requests.get(), wire.send, run))


def answer(line: str, report: Report, run: Run) -> Done | Failed:
    """Run one request; every way in which it can end becomes an event."""
    stage = "request"
    try:
        request = Request.loads(line)
        stage = request.stage.value
        return run(request, report)
    except PipelineError as error:
        message = str(error) or (type(error).__doc__ or "").strip()
        return _failed(error, message)
    except Exception as error:
        log.exception("the %s failed", _named(stage))
        if _is_out_of_memory(error):
            return _failed(OutOfMemory(), f"The {_named(stage)} ran out of memory.")
        failed = PipelineError()
        return Failed(failed.code, f"The {_named(stage)} failed ({type(error).__name__}).", retryable=True)


def _failed(error: PipelineError, message: str) -> Failed:
    if len(message) > MESSAGE_LENGTH:
        message = f"{message[: MESSAGE_LENGTH - 1]}…"
    return Failed(error.code, message, error.retryable)


def _named(stage: str) -> str:
    return f"stage `{stage}`" if stage in {each.value for each in Stage} else stage


def _stages(fixed: Fixed | None) -> Run:
    from pipeline import stages

    stages.warm(fixed)
    return partial(stages.run, fixed=fixed)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether the host or the device had no memory left; libraries have errors of their own for it."""
    if isinstance(error, MemoryError):
        return True
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    if names & {"torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError"}:
        return True
    # OpenCV has one class for everything: CV_StsNoMem. torch's CPU allocator raises a RuntimeError.
    return (
        "cv2.error" in names and getattr(error, "code", None) == -4
    ) or "DefaultCPUAllocator: can't allocate memory" in str(error)


class _OneLine(logging.Formatter):
    """All of a record in one line: a traceback's lines would be taken for anybody's."""

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(line for line in super().format(record).splitlines() if line.strip())


def _log_lines() -> None:
    """Say what there is to say so that the worker can log it, with what it is about."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(LOG_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _Wire:
    """Writes events, one line each, whole; stages may report from several threads."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def send(self, event: Event) -> None:
        line = dump_event(event)
        with self._lock:
            try:
                self._out.write(f"{line}\n")
                self._out.flush()
            except BrokenPipeError:  # nobody listens any more
                _end_group()


def _reserve_stdout() -> TextIO:
    """Take standard output for the protocol; what is printed from now on, also by C code, goes to stderr."""
    sys.stdout.flush()
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


def _listen(source: TextIO, requests: SimpleQueue[str]) -> None:
    for line in source:
        requests.put(line)
    _end_group()


def _die_with_parent() -> None:
    """Have the kernel kill this process with the worker, even in a native call that never returns.

    Elsewhere than on Linux the end of standard input has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_group() -> None:
    """End this process at once, with everything it started if it leads a group of its own."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
