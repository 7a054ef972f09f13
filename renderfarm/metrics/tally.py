"""Sums over rows that are written once and never changed: each of them is read once, and kept added up.

A farm has a million of them, and a scrape comes every few seconds. The sums depend on the rows alone, so
an exporter that is started again goes on where it was.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.orm import Session

#: All rows are counted anew so often, in seconds: should one have come later still, it is not lost for good.
_ANEW = 24 * 3600.0

Key = tuple[Any, ...]
Sums = Mapping[Key, tuple[float, ...]]


class Tally:
    """The sums that a statement tells, by the columns between its first two and its last ``values``.

    The statement reads the rows beyond ``:mark``. Its columns: ``mark``, up to which rows are settled by
    now; whether these ones are; what they are summed by; and the sums.
    """

    def __init__(self, statement: TextClause, start: object, values: int, **parameters: object) -> None:
        self._statement = statement
        self._start = start
        self._values = values
        self._parameters = parameters
        self._lock = threading.Lock()
        self._mark: Any = None
        self._settled: dict[Key, tuple[float, ...]] = {}
        self._counted_at = 0.0

    @property
    def is_due(self) -> bool:
        """Whether all is to be counted (anew): at the start, once a day, and when the clock went back."""
        return self._mark is None or time.monotonic() - self._counted_at > _ANEW

    def count(self, session: Session) -> None:
        """Count all rows, which may take as long as reading them does."""
        mark, settled, _ = self._read(session, self._start)
        with self._lock:
            self._mark = self._start if mark is None else mark
            self._settled = _summed(settled)
            self._counted_at = time.monotonic()

    def sums(self, session: Session) -> Sums | None:
        """The sums as of now; None while all is yet to be counted.

        A clock that went back has rows end before the mark, where nobody looks any more: they would be
        missing from what is shown, so nothing is until all is counted anew.
        """
        with self._lock:
            if self._mark is None:
                return None
            mark, settled, fresh = self._read(session, self._mark)
            if mark is not None and mark < self._mark:
                self._mark = None
                return None
            self._settled = _summed(settled, self._settled)
            self._mark = self._mark if mark is None else mark
            return _summed(fresh, self._settled)

    def _read(self, session: Session, mark: object) -> tuple[Any, list[Any], list[Any]]:
        """The mark, what is settled by it, and the rest."""
        rows = session.execute(self._statement, {**self._parameters, "mark": mark}).all()
        sums = [(row[1], tuple(row[2 : -self._values]), row[-self._values :]) for row in rows]
        return (
            rows[0][0] if rows else None,
            [(key, values) for settled, key, values in sums if settled],
            [(key, values) for settled, key, values in sums if not settled],
        )


def _summed(rows: list[Any], to: Sums | None = None) -> dict[Key, tuple[float, ...]]:
    total: defaultdict[Key, tuple[float, ...]] = defaultdict(tuple, to or {})
    for key, values in rows:
        before = total[key] or (0.0,) * len(values)
        total[key] = tuple(x + float(y) for x, y in zip(before, values, strict=True))
    return dict(total)
