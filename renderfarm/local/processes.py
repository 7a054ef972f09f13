"""Finding and ending the processes of one farm, whoever their parents are by now.

Each carries the farm's id in its environment, so even what was orphaned by a SIGKILL is found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Container
from contextlib import suppress

import psutil

#: The variable that marks a process as part of a farm; its value is the farm's folder.
MARK = "FARM_STACK"
#: Set by supervisord in the environment of what it starts, hence not in its own.
_PROGRAM = "SUPERVISOR_PROCESS_NAME"


def members(stack_id: str) -> list[psutil.Process]:
    """Every live process of the farm, the supervisor first."""
    found: list[tuple[bool, psutil.Process]] = []
    for process in psutil.process_iter():
        environ = _environ(process)
        if environ.get(MARK) == stack_id and process.pid != os.getpid():
            found.append((_PROGRAM in environ, process))
    return [process for _, process in sorted(found, key=lambda pair: pair[0])]


def supervisor_of(stack_id: str) -> psutil.Process | None:
    """The farm's supervisor; None when it does not run."""
    return next((one for one in members(stack_id) if _PROGRAM not in _environ(one)), None)


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; a child of ours that has ended is let go."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            process.wait(timeout=1)
        return process.is_running()
    except (psutil.NoSuchProcess, psutil.TimeoutExpired):
        return False


def kill_programs(stack_id: str, spare: Container[str]) -> None:
    """SIGKILL every program of the farm but the named ones and the supervisor."""
    for process in members(stack_id):
        name = _environ(process).get(_PROGRAM)
        if name is not None and name not in spare:
            _send(process, signal.SIGKILL)


def sweep(stack_id: str, grace: float = 5.0) -> int:
    """End whatever is left of the farm: ask, wait ``grace`` seconds, kill. Answers how many there were."""
    swept = 0
    for _ in range(3):  # what is being started while we look is found on the next round
        left = members(stack_id)
        if not left:
            break
        swept += len(left)
        for process in left:
            ask(process)
        _, stubborn = psutil.wait_procs(left, timeout=grace)
        for process in stubborn:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(stubborn, timeout=grace)
    return swept


def ask(process: psutil.Process) -> None:
    """Ask it to end."""
    try:
        # PostgreSQL's SIGTERM waits for its clients to leave; its SIGINT does not.
        kind = signal.SIGINT if process.name() == "postgres" else signal.SIGTERM
    except psutil.NoSuchProcess:
        return
    _send(process, kind)


def _send(process: psutil.Process, kind: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(kind)


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):  # another user's, or just gone
        return {}
