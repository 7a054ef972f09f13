"""What the ingress holds in memory, and the store on its disk, while a long video comes in."""

from __future__ import annotations

import http.client
import os
import shutil
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from renderfarm import accounts
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.speed.figure import Figure, Measured

_MEGABYTES = 480
_BOUNDARY = "between-the-parts"
_CHUNK = 1 << 20
#: Seconds between two looks.
_PERIOD = 0.05


def large(ground: Ground, quick: bool, tell: Callable[[str], None], **changed: Any) -> Measured:
    """A clip that padding makes 480 MB long (a tenth of it where it is to be ``quick``), as one form.

    ``changed`` are settings of the farm: another store, say, of which the disk is not seen.
    """
    size = (_MEGABYTES // 10 if quick else _MEGABYTES) << 20
    with Farm.open(ground, workers={}, dispatchers=0, api=True, **changed) as farm:
        with farm.database.begin() as session:
            secret = accounts.create_key(session, farm.account_id)[1]
        # Each of its processes has to have everything loaded before it is measured.
        for _ in range(8):
            _send(farm, secret, ground.picture, ground.clip)
        assert farm.api is not None and farm.api.pid is not None
        clip = _padded(ground.clip, farm.folder / "long.mp4", size)
        with _Watch(farm.api.pid, farm.folder / "store") as watch:
            status = _send(farm, secret, ground.picture, clip)
        tell(f"answered {status}")
    grown, disk = watch.grown / (1 << 20), watch.disk / size
    return Measured(
        (
            Figure("memory that a large upload takes", grown, "MB", 50, 25),
            Figure("disk that it takes, of its size", disk, "x", 1.1, 1.05),
            Figure("large uploads that were refused", float(status != 202), "", 0, 0),
        ),
        {"bytes": size, "status": status},
    )


class _Watch:
    """The most that the processes under ``pid`` and the folder ``store`` grow by during the block."""

    def __init__(self, pid: int, store: Path) -> None:
        root = psutil.Process(pid)
        self._processes = [root, *root.children(recursive=True)]
        self._store = store
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._before = {process.pid: process.memory_info().rss for process in self._processes}
        self._stored = _bytes_in(store)
        self.grown = self.disk = 0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_PERIOD):
            grown = sum(each.memory_info().rss - self._before[each.pid] for each in self._processes)
            self.grown = max(self.grown, grown)
            self.disk = max(self.disk, _bytes_in(self._store) - self._stored)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(path, name).stat().st_size
            except FileNotFoundError:
                continue  # renamed just now
    return total


def _padded(clip: Path, target: Path, size: int) -> Path:
    """The clip with a ``free`` box behind it that brings it to ``size`` bytes, on disk a hole."""
    shutil.copyfile(clip, target)
    with target.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(struct.pack(">I4s", size - end, b"free"))
        file.truncate(size)
    return target


def _send(farm: Farm, secret: str, picture: Path, video: Path) -> int:
    """Post the two files; the status of the answer."""
    parts = [(_head("ref_image", picture), picture), (_head("driving_video", video), video)]
    last = f"--{_BOUNDARY}--\r\n".encode()
    length = sum(len(head) + path.stat().st_size + 2 for head, path in parts) + len(last)
    connection = http.client.HTTPConnection(farm.settings.public_url.removeprefix("http://"), timeout=300)
    connection.putrequest("POST", "/api/render")
    connection.putheader("Authorization", f"Bearer {secret}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}")
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    for head, path in parts:
        connection.send(head)
        with path.open("rb") as file:
            while data := file.read(_CHUNK):
                connection.send(data)
        connection.send(b"\r\n")
    connection.send(last)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def _head(name: str, path: Path) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"'
    return f"{head}\r\n\r\n".encode()
