"""supervisord, configured for one farm and spoken to.

It restarts what dies (at once after a good run, with growing pauses after a bad start), signals only a
program's main process, waits its grace, then kills its group, and stops the groups in falling order.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import psutil

from renderfarm.local.home import Home

#: A program that lives this long has started; one that does not is tried again after 1, 2, 3 ... seconds.
_START_SECONDS, _START_RETRIES = 2, 30
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./()-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process of the farm."""

    name: str
    command: tuple[str, ...]
    #: Groups start in rising order of ``place`` and stop, one after the other, in falling order.
    group: str
    place: int
    #: On top of what all programs get; plain words only.
    environ: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    #: Seconds between the signal and the end of patience.
    grace: int = 10
    #: Whether it starts with the supervisor; the others when they are told to.
    first: bool = False


def configuration(
    programs: Iterable[Program], port: int, password: str, root: bool
) -> tuple[str, dict[str, str]]:
    """The text of the configuration file, and the variables that it refers to.

    Every path is relative to the farm's folder or comes from a variable: the file's own syntax
    cannot hold every path that a disk can.
    """
    words: dict[str, str] = {}
    ordered = sorted(programs, key=lambda program: program.place)
    lines = [
        "[supervisord]",
        "nodaemon = true",
        "silent = true",
        "logfile = logs/supervisor.log",
        "pidfile = supervisor.pid",
        "childlogdir = logs",
        "umask = 077",
        *(["user = root"] if root else []),
        "[inet_http_server]",
        f"port = 127.0.0.1:{port}",
        "username = farm",
        f"password = {password}",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for group, members in groupby(ordered, key=lambda program: program.group):
        together = list(members)
        for program in together:
            lines += _section(program, words)
        names = ",".join(program.name for program in together)
        lines += [f"[group:{group}]", f"programs = {names}", f"priority = {together[0].place}"]
    return "\n".join(lines) + "\n", words


def _section(program: Program, words: dict[str, str]) -> list[str]:
    odd = [name for name, value in program.environ.items() if not _PLAIN.fullmatch(value)]
    if odd:  # the file's syntax has no way to hold it
        raise ValueError(f"{program.name}: {', '.join(odd)} must be plain; let all programs inherit it")
    environ = ",".join(f'{name}="{value}"' for name, value in program.environ.items())
    return [
        f"[program:{program.name}]",
        "command = " + " ".join(_word(word, words) for word in program.command),
        f"environment = {environ}",
        *([f"user = {program.user}"] if program.user else []),
        f"autostart = {str(program.first).lower()}",
        "autorestart = true",
        f"startsecs = {_START_SECONDS}",
        f"startretries = {_START_RETRIES}",
        f"stopsignal = {program.stop_signal}",
        f"stopwaitsecs = {program.grace}",
        "stopasgroup = false",
        "killasgroup = true",
        "redirect_stderr = true",
        f"stdout_logfile = logs/{program.name}.log",
        "stdout_logfile_maxbytes = 20MB",
        "stdout_logfile_backups = 1",
    ]


def _word(word: str, words: dict[str, str]) -> str:
    if _PLAIN.fullmatch(word):
        return word
    name = f"FARM_WORD_{len(words)}"
    words[name] = shlex.quote(word)
    return f"%(ENV_{name})s"


@dataclass(frozen=True, slots=True)
class Supervisor:
    """A farm's supervisor, running or not."""

    home: Home
    port: int

    @property
    def _password(self) -> str:
        return self.home.secret("supervisor.password")

    def launch(self, programs: Iterable[Program], environ: Mapping[str, str], root: bool) -> psutil.Process:
        """Start it in a session of its own: a Ctrl-C on our terminal reaches us alone."""
        text, words = configuration(programs, self.port, self._password, root)
        path = self.home.root / "supervisor.conf"
        self.home.write(path, text)
        with (self.home.logs / "supervisor.out").open("ab") as out:
            child = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", path.name],
                cwd=self.home.root,
                env={**environ, **words},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        found = psutil.Process(child.pid)
        child.returncode = 0  # it may outlive us, and that is nothing to warn of
        return found

    def start(self, group: str) -> None:
        """Start every program of the group, without waiting for them."""
        with self._proxy() as proxy:
            proxy.supervisor.startProcessGroup(group, False)

    def stop(self, group: str) -> None:
        """Stop every program of the group, and wait for their end."""
        with self._proxy() as proxy:
            proxy.supervisor.stopProcessGroup(group, True)

    def restart(self, group: str, name: str) -> None:
        """Stop a program as its group is stopped, wait for its end, and start it again without waiting."""
        with self._proxy() as proxy:
            proxy.supervisor.stopProcess(f"{group}:{name}", True)
            proxy.supervisor.startProcess(f"{group}:{name}", False)

    def signal(self, group: str, name: str, kind: str) -> None:
        """Send a program's main process a signal: ``HUP``."""
        with self._proxy() as proxy:
            proxy.supervisor.signalProcess(f"{group}:{name}", kind)

    def processes(self) -> list[dict[str, Any]]:
        """Each program's name, group, statename, pid, start and now; ``OSError`` when nobody answers."""
        with self._proxy() as proxy:
            return cast("list[dict[str, Any]]", proxy.supervisor.getAllProcessInfo())

    def _proxy(self) -> xmlrpc.client.ServerProxy:
        return xmlrpc.client.ServerProxy(f"http://farm:{self._password}@127.0.0.1:{self.port}/RPC2")


def end_of_log(path: Path, lines: int = 8) -> str:
    """The last lines of a log; empty where there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
