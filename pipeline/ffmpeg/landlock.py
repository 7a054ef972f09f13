"""The files and ports that a caged program may open, as rules that the kernel keeps (Landlock).

Needs Linux 5.13; what later kernels add (truncation, devices, TCP ports, signals) is used where it is.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_BENEATH, _PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
#: How many rights over files each version knows; the rest follow the last.
_RIGHTS = (0, 13, 14, 15, 15, 16)
_CONNECT, _ALL_TCP = 1 << 1, 0b11
#: No abstract sockets of others, and no signals to them.
_ALL_SCOPES = 0b11


@cache
def version() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    if platform.system() != "Linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, 0, 1)))


def confine(
    *, folders: Iterable[Path], reads: Iterable[Path], writes: Iterable[Path], ports: Sequence[int]
) -> None:
    """Leave the calling thread, and what it starts, these files and ports alone, for good.

    ``folders`` may be read and programs in them run, ``reads`` only be read, ``writes`` (files that are
    there) be read and written. What does not exist is passed over. Raises ``OSError``.
    """
    known = (1 << _RIGHTS[min(version(), len(_RIGHTS) - 1)]) - 1
    attributes = struct.pack("=QQQ", known, _ALL_TCP, _ALL_SCOPES)
    size = 8 if version() < 4 else 16 if version() < 6 else 24
    rules = _call(_CREATE, attributes, size, 0)
    try:
        for paths, rights in (
            (folders, _EXECUTE | _READ | _LIST),
            (reads, _READ),
            (writes, _READ | _WRITE | (_TRUNCATE & known)),
        ):
            for path in paths:
                with suppress(FileNotFoundError):
                    _allow(rules, path, rights)
        if version() >= 4:
            for port in ports:
                _call(_ADD, rules, _PORT, struct.pack("=QQ", _CONNECT, port), 0)
        _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _call(_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            rights &= ~_LIST
        _call(_ADD, rules, _BENEATH, struct.pack("=Qi", rights, beneath), 0)
    finally:
        os.close(beneath)


def _call(number: int, *arguments: object) -> int:
    answer = int(_libc().syscall(number, *arguments))
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return answer


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
