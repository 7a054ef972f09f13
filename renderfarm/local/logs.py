"""The programs' logs as one stream: what is new in each file, line by line, with the program's name."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

#: supervisord's own log repeats the date; what remains is the level and the message.
_DATED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ ")
_EVERY = 0.15


class Follower:
    """Reads a folder of logs in a thread, from where they end now, until it is closed."""

    def __init__(self, folder: Path, show: Callable[[str, str], None]) -> None:
        """``show(name, line)`` is called in the thread, in the order of the files' names."""
        self._folder, self._show = folder, show
        self._seen: dict[Path, tuple[int, int]] = {
            path: (path.stat().st_ino, path.stat().st_size) for path in folder.glob("*.log")
        }
        self._rest: dict[Path, bytes] = {}
        self._closing = threading.Event()
        #: Set once nobody reads what is shown any more.
        self.deaf = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Show what is still new, and stop."""
        self._closing.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            while not self._closing.wait(_EVERY):
                self._read_all()
            self._read_all()
        except OSError:  # a closed pipe: `farm up | head`
            self.deaf.set()

    def _read_all(self) -> None:
        for path in sorted(self._folder.glob("*.log")):
            for line in self._new_lines(path):
                self._show(path.stem, _DATED.sub("", line))

    def _new_lines(self, path: Path) -> list[str]:
        try:
            found = path.stat()
        except FileNotFoundError:  # turned over between the listing and now
            return []
        inode, offset = self._seen.get(path, (found.st_ino, 0))
        if inode != found.st_ino or found.st_size < offset:
            offset = 0
        if found.st_size == offset and inode == found.st_ino:
            return []
        with path.open("rb") as file:
            file.seek(offset)
            data = self._rest.pop(path, b"") + file.read()
            self._seen[path] = (found.st_ino, file.tell())
        *lines, rest = data.split(b"\n")
        if rest:
            self._rest[path] = rest
        return [line.decode(errors="replace").rstrip("\r") for line in lines if line.strip()]
