"""One process of a trial: started, armed, paused, killed and started anew; only ever by its own number."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from renderfarm.trial.waiting import InVain, until

_DEAD = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


class Process:
    """A command that can be run again and again; its log goes on from life to life.

    ``ready`` is asked whether the running process is of use already.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        log: Path,
        *,
        ready: Callable[[Process], bool] = lambda _: True,
        stop_signal: signal.Signals = signal.SIGTERM,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.environ = dict(environ)
        self.log = log
        self._ready = ready
        self._stop_signal = stop_signal
        self._user = user
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_from = 0
        #: Whether it should run: not before its start, nor after somebody ended it on purpose.
        self.wanted = False

    def __repr__(self) -> str:
        return f"<{self.name}, {self.pid if self.alive else 'not running'}>"

    @property
    def pid(self) -> int:
        """Its number in this life, or in the last; 0 before the first."""
        return self._popen.pid if self._popen else 0

    @property
    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def text(self) -> str:
        """What this life has written into the log."""
        with suppress(FileNotFoundError), self.log.open("rb") as file:
            file.seek(self._log_from)
            return file.read().decode(errors="replace")
        return ""

    def start(self, **armed: str) -> None:
        """Start it, with these variables in this life's environment; returns at once."""
        assert not self.alive, f"{self.name} runs already"
        self.wanted = True
        with self.log.open("ab") as log:
            self._log_from = log.tell()
            self._popen = subprocess.Popen(
                self.command,
                env={**self.environ, **armed},
                cwd="/" if self._user else None,
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # no Ctrl-C from the terminal: whoever runs the trial ends it
            )

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until it is of use; raises ``InVain``, with the log's end, when it ends before or never is."""

        def ready() -> bool:
            if not self.alive:
                raise InVain(f"{self.name} ended: {self.text[-2000:]}")
            return self._ready(self)

        until(ready, seconds, f"{self.name} to be ready: {self.text[-500:]}")

    def wait_end(self, seconds: float = 30) -> int:
        """Wait until it has ended by itself; its exit status, negative for a signal."""
        assert self._popen is not None
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise InVain(f"{self.name} did not end within {seconds:g} s") from error

    def terminate(self) -> None:
        """Ask it to end, and do not wait; it is not started again."""
        self.wanted = False
        self._send(self._stop_signal)

    def stop(self, seconds: float = 30) -> int:
        """Ask it to end and wait; raises ``InVain`` where it does not. Its exit status."""
        self.terminate()
        return self.wait_end(seconds)

    def kill(self) -> None:
        """SIGKILL to it alone, and wait for its end; what it started has to look after itself."""
        self.wanted = False
        self._send(signal.SIGKILL)
        self.wait_end()

    def restart(self, **armed: str) -> None:
        """Start it again after its end, or kill it first; returns at once."""
        if self.alive:
            self.kill()
        self.start(**armed)

    def pause(self) -> None:
        """SIGSTOP to it and all that it has started."""
        for each in self.family():
            _signal(each, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to it and all that it has started."""
        for each in reversed(self.family()):
            _signal(each, signal.SIGCONT)

    def family(self) -> list[psutil.Process]:
        """It and all that it has started, parents first; empty when it does not run."""
        if not self.alive:
            return []
        try:
            own = psutil.Process(self.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def destroy(self) -> None:
        """SIGKILL to it and all that it has started, and wait for their end."""
        self.wanted = False
        doomed = self.family()
        for each in doomed:
            _signal(each, signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait()
        until(lambda: not alive(doomed), 10, f"the end of all that {self.name} started")

    def _send(self, kind: signal.Signals) -> None:
        if self._popen is not None:
            self._popen.send_signal(kind)


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that still run."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() not in _DEAD:
                found.append(process)
    return found


def _signal(process: psutil.Process, kind: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(kind)
