"""Whose turn it is: the rules of the line without its rows.

``line`` and ``dispatch`` ask them of what they read in the database, ``simulate`` of a farm that is made up.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Units of a queue that may be admitted beyond its idle workers, so that none waits for a message.
SLACK = 2
#: A fast job is taken when so many workers are free.
FAST_WORKERS = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """A unit that is next."""

    unit_id: str
    account_id: str
    fast: bool


def room_for(idle: int, unclaimed: int) -> int:
    """How many units of a queue may be admitted now; none where it is not above zero."""
    return idle + SLACK - unclaimed


def in_turn(
    units: Mapping[str, Sequence[str]],
    served: Mapping[str, Any],
    busy: Mapping[str, int],
    *,
    fast: bool,
    room: int,
    cap: int | None,
) -> list[Turn]:
    """The next ``room`` units of one line, of each account's own ``units`` in their order.

    Whoever has the least ``busy`` goes first; among equals, whoever was ``served`` longest ago. Nobody has
    more than ``cap`` at once.
    """
    heap = [(busy.get(account, 0) + 1, served[account], account, 0) for account, own in units.items() if own]
    heapq.heapify(heap)
    turns: list[Turn] = []
    while heap and len(turns) < room:
        turn, served_at, account, place = heapq.heappop(heap)
        if cap is not None and turn > cap:
            continue
        turns.append(Turn(units[account][place], account, fast))
        if place + 1 < len(units[account]):
            heapq.heappush(heap, (turn + 1, served_at, account, place + 1))
    return turns


def together(
    fast: Sequence[Turn], normal: Sequence[Turn], *, live: int, share: float, at_work: int, room: int
) -> tuple[Turn, ...]:
    """The next ``room`` units of both lines of a pool of ``live`` workers.

    Fast jobs, which have ``at_work`` units already, go first with their share of the pool, and with the rest
    only when nobody else wants it.
    """
    first = max(0, max(1, math.ceil(live * share)) - at_work)
    return (*fast[:first], *normal, *fast[first:])[:room]


def takes_fast(free: int, wanted: int = 0) -> bool:
    """Whether a fast job is taken where ``free`` workers have no unit, of which ``wanted`` are about to."""
    return free - wanted >= FAST_WORKERS
