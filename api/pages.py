"""Reading a list page by page."""

from __future__ import annotations

from flask import request

from renderfarm.errors import FarmError

_DEFAULT = 20
_MOST = 100


def page_size() -> int:
    """The ``limit`` that was asked for, 1 to 100; CS-UORC01-002 where it is no such number."""
    raw = request.args.get("limit") or str(_DEFAULT)
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 3 and 1 <= int(raw) <= _MOST):
        raise FarmError("CS-UORC01-002", f"`limit` is not a number from 1 to {_MOST}.")
    return int(raw)
