"""The folder in which a farm on one machine keeps all that it has: ``.farm``."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Home:
    """One farm's folder. Nothing in it is made before ``create``."""

    root: Path

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> Self:
        """``FARM_HOME``, else ``.farm`` in the checkout, else in the current folder."""
        if chosen := environ.get("FARM_HOME"):
            return cls(Path(chosen).resolve())
        base = _CHECKOUT if (_CHECKOUT / "pyproject.toml").exists() else Path.cwd()
        return cls(base / ".farm")

    @property
    def key(self) -> Path:
        """The API key of the command line."""
        return self.root / "key"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def store(self) -> Path:
        """Uploaded and finished files."""
        return self.root / "store"

    @property
    def work(self) -> Path:
        """The workers' scratch space."""
        return self.root / "work"

    @property
    def stack_id(self) -> str:
        """What every process of this farm carries in its environment, so that each can be found."""
        return str(self.root)

    def create(self) -> None:
        """Make the folders; private, except that PostgreSQL's own user may pass when we are root."""
        for folder in (self.root, self.logs, self.store, self.work, self.root / "redis"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        if os.geteuid() == 0:
            self.root.chmod(0o711)

    def secret(self, name: str) -> str:
        """The password kept in the file ``name``, made on the first call."""
        path = self.root / name
        if not path.exists():
            self.write(path, secrets.token_urlsafe(24))
        return path.read_text().strip()

    def write(self, path: Path, text: str) -> None:
        """Put ``text`` into a file that only we may read; whole or not at all."""
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
        fresh.replace(path)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Let one ``farm up`` at a time set the farm up; the others wait."""
        with (self.root / "up.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
