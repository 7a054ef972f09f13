"""Where trials take place: a temporary folder with a PostgreSQL, used by one farm after another."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from renderfarm.local import postgres
from renderfarm.local.ports import free_port
from renderfarm.local.processes import MARK
from renderfarm.migrate import migrate
from renderfarm.trial.clip import make_clip, make_picture
from renderfarm.trial.janitor import Janitor
from renderfarm.trial.process import Process

#: The checkout, whose packages the processes run.
ROOT = Path(__file__).resolve().parents[2]
_TEMPLATE = "template_farm"
#: All that processes take over from whoever runs the trial.
_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "CUDA_VISIBLE_DEVICES")


class Ground:
    """Made by ``open``. One farm at a time where the PostgreSQL itself is harmed."""

    def __init__(self, folder: Path, janitor: Janitor, *, durable: bool = False) -> None:
        self.folder = folder
        self._janitor = janitor
        self._cluster = postgres.prepare(folder)
        self._port = free_port()
        self._names = count(1)
        janitor.mind(self._cluster.data)
        self.postgres = Process(
            "postgres",
            # What is committed outlives every death of the process; the machine's own death is not tried.
            [*self._cluster.command(self._port), "-c", f"fsync={'on' if durable else 'off'}"],
            self.environ(folder),
            folder / "postgres.log",
            ready=lambda _: self._answers(),
            stop_signal=signal.SIGINT,  # SIGTERM would wait for clients to leave
            user=self._cluster.user,
        )

    @classmethod
    @contextmanager
    def open(cls, *, durable: bool = False) -> Iterator[Ground]:
        """A new ground; however the block ends, nothing of it runs or lies about afterwards.

        ``durable``: its PostgreSQL waits for the disk at each commit.
        """
        folder = Path(tempfile.mkdtemp(prefix="farm-trial-"))
        folder.chmod(0o711)  # PostgreSQL's own user has to pass
        with Janitor() as janitor:
            janitor.mind(folder)
            ground = cls(folder, janitor, durable=durable)
            try:
                ground.postgres.start()
                ground.postgres.wait_ready()
                postgres.create_database(ground.url("postgres"), _TEMPLATE)
                migrate(ground.url(_TEMPLATE))
                yield ground
            finally:
                ground.postgres.destroy()
                shutil.rmtree(ground._cluster.data, ignore_errors=True)
                shutil.rmtree(folder, ignore_errors=True)

    @cached_property
    def picture(self) -> Path:
        """A reference image."""
        return make_picture(self.folder / "picture.png")

    @cached_property
    def clip(self) -> Path:
        """A driving video of two seconds."""
        return make_clip(self.folder / "clip.mp4")

    def environ(self, folder: Path) -> dict[str, str]:
        """What a process gets, marked with the folder; nothing of the caller's farm is in it."""
        taken = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        own = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", MARK: str(folder)}
        path = f"{Path(sys.executable).parent}:{taken.get('PATH', '/usr/bin:/bin')}"
        return {**taken, **own, "PATH": path}

    def url(self, database: str) -> str:
        """The address of a database of the ground's PostgreSQL."""
        return self._cluster.url(self._port, database)

    def database(self) -> str:
        """The address of a new database with every table and no row, made in some 50 ms."""
        name = f"trial_{next(self._names)}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(create.format(sql.Identifier(name), sql.Identifier(_TEMPLATE)))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        name = url.rpartition("/")[2]
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def room(self, name: str) -> Path:
        """A new folder for a farm, minded by the janitor."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        self._janitor.mind(folder)
        return folder

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
