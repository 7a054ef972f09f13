"""Start a real server for the tests, and be sure to end it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from renderfarm.local.ports import wait_for


@contextmanager
def running(
    command: list[str],
    *,
    port: int | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    log: Path | None = None,
    stop: signal.Signals = signal.SIGTERM,
    grace: float = 20,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` in a process group of its own until the block ends; wait for ``port`` first."""
    with log.open("ab") if log else Path(os.devnull).open("ab") as sink:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            user=user,
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            if port is not None and not wait_for(port, 30):
                raise RuntimeError(f"{command[0]} did not answer on port {port}")
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(stop)
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
