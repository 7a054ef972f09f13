"""The farm that a soak soaks: all the programs of ``farm up``, in a folder that goes with it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from renderfarm.db import Database
from renderfarm.local import postgres
from renderfarm.local.home import Home
from renderfarm.local.interrupts import Interrupts
from renderfarm.local.ports import free_port
from renderfarm.local.processes import members
from renderfarm.local.programs import environment
from renderfarm.local.stack import Stack
from renderfarm.local.state import State
from renderfarm.local.supervisor import Supervisor
from renderfarm.settings import Settings
from renderfarm.storage import Storage, open_storage
from renderfarm.trial.janitor import Janitor

#: What the caller's own farm is told with: none of it is for this one.
_OTHERS = ("FARM_", "DATABASE_URL", "REDIS_URL", "ENGINE_")
_SERVERS = ("postgres", "redis-server")


class LocalFarm:
    """Made by ``open``: it runs, and ``supervisor`` stops and starts its programs."""

    def __init__(self, home: Home, state: State, settings: Settings) -> None:
        self.home = home
        self.state = state
        self.settings = settings
        self.supervisor = Supervisor(home, state.ports["supervisor"])
        self.database = Database(settings.database_url)

    @classmethod
    @contextmanager
    def open(
        cls, interrupts: Interrupts, workers: Mapping[str, int], told: Mapping[str, str]
    ) -> Iterator[LocalFarm]:
        """A new farm whose processes are ``told`` these variables, ready for orders.

        However the block ends, nothing of it runs or lies about afterwards.
        """
        folder = Path(tempfile.mkdtemp(prefix="farm-soak-"))
        home = Home(folder)
        caller = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        (temporary := folder / "tmp").mkdir()
        caller = {**caller, **told, "TMPDIR": str(temporary)}
        stack = Stack(home, caller)
        with Janitor() as janitor:
            janitor.mind(folder)
            try:
                state = stack.start(interrupts, free_port(), workers=workers)
                janitor.mind(postgres.data_folder(folder))
                farm = cls(home, state, Settings.from_env(environment(home, state, caller)))
                try:
                    yield farm
                finally:
                    farm.database.close()
            finally:
                stack.stop(interrupts.hurried)
                shutil.rmtree(postgres.data_folder(folder), ignore_errors=True)
                shutil.rmtree(folder, ignore_errors=True)

    @cached_property
    def store(self) -> Storage:
        return open_storage(self.settings)

    @property
    def groups(self) -> dict[str, str]:
        """The supervisor's group of each program."""
        return {str(one["name"]): str(one["group"]) for one in self.supervisor.processes()}

    def programs(self) -> list[dict[str, Any]]:
        """What the supervisor says of each program; nothing while it does not answer."""
        try:
            return self.supervisor.processes()
        except OSError:
            return []

    def pid(self, name: str) -> int:
        """A program's main process; 0 while it does not run."""
        return next((int(one["pid"]) for one in self.programs() if one["name"] == name), 0)

    @property
    def temporary(self) -> Path:
        """Where its processes put what they need for a moment."""
        return self.home.root / "tmp"

    def left(self) -> list[str]:
        """What runs besides the supervisor, PostgreSQL and Redis."""
        _supervisor, *others = members(self.home.stack_id)
        return [f"{each.name()} {each.pid}" for each in others if each.name() not in _SERVERS]
