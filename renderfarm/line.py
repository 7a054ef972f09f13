"""The line: which units are admitted next, read without looking at all that wait.

Accounts take turns. Whoever has the least admitted or running goes first; among equals, whoever was
served longest ago; within an account, the oldest job. Fast jobs stand in a line of their own, of which
a bounded share of the pool is admitted first, and the rest only when nobody else wants it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from renderfarm import stages
from renderfarm.models import Line, Unit, UnitStatus
from renderfarm.pools import NOBODY, Pool, live_pools
from renderfarm.settings import Settings
from renderfarm.turns import Turn, in_turn, takes_fast, together

#: Lines read at a time, besides as many as there is room and as there are busy accounts.
_PAGE = 8

#: Which lines are there at all.
_STANDING = text(
    """
    SELECT q.queue, f.fast
    FROM unnest(:queues) AS q(queue), (VALUES (true), (false)) AS f(fast), LATERAL (
        SELECT 1 FROM lines l WHERE l.queue = q.queue AND l.fast = f.fast
        ORDER BY l.served_at, l.account_id LIMIT 1) l
    """
).bindparams(bindparam("queues", type_=ARRAY(Text)))

#: One page of a line, each account with as many of its waiting units as there is room.
_NEXT = text(
    """
    SELECT l.account_id, l.served_at, u.id
    FROM (SELECT account_id, served_at FROM lines
          WHERE queue = :queue AND fast = :fast AND (served_at, account_id) > (:after, :last)
          ORDER BY served_at, account_id LIMIT :page) l
    LEFT JOIN LATERAL (
        SELECT own.id, own.queued_at FROM unnest(:pins) AS p(pin), LATERAL (
            SELECT id, queued_at FROM units
            WHERE queue = :queue AND fast = :fast AND account_id = l.account_id AND pins = p.pin
                AND status = 'waiting' AND not_before <= now()
            ORDER BY queued_at, id LIMIT :room) own
        ORDER BY own.queued_at, own.id LIMIT :room) u ON true
    ORDER BY l.served_at, l.account_id, u.queued_at, u.id
    """
).bindparams(bindparam("pins", type_=ARRAY(Text)))

#: Served in this order. An account that is submitting just now is left as it is rather than waited for.
_SERVED = text(
    """
    UPDATE lines SET served_at = statement_timestamp() + s.place * interval '1 microsecond'
    FROM (SELECT account_id, array_position(:accounts, account_id) AS place FROM lines
          WHERE queue = :queue AND fast = :fast AND account_id = ANY(:accounts)
          ORDER BY account_id FOR UPDATE SKIP LOCKED) s
    WHERE lines.queue = :queue AND lines.fast = :fast AND lines.account_id = s.account_id
    """
).bindparams(bindparam("accounts", type_=ARRAY(Text)))

#: Asked again with the lines locked: whoever began to wait before has committed, whoever comes now waits.
_LEAVE = text(
    """
    DELETE FROM lines WHERE queue = :queue AND fast = :fast AND account_id = ANY(:accounts)
        AND NOT EXISTS (SELECT 1 FROM units u WHERE u.queue = :queue AND u.fast = :fast
            AND u.account_id = lines.account_id AND u.status = 'waiting')
    """
).bindparams(bindparam("accounts", type_=ARRAY(Text)))

#: For rows that were written by a version which knew no lines, and against any fault of ours.
_MEND = text(
    """
    INSERT INTO lines (queue, fast, account_id)
    SELECT DISTINCT queue, fast, account_id FROM units WHERE status = 'waiting'
    ON CONFLICT DO NOTHING
    """
)


@dataclass(frozen=True, slots=True)
class Turns:
    """Who is next in a queue, in order; and (fast, account) lines in which nobody was found."""

    units: tuple[Turn, ...]
    empty: tuple[tuple[bool, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """The next turns of one line, and the accounts of which no unit was found."""

    turns: list[Turn]
    nobody: list[str]


@dataclass(frozen=True, slots=True)
class Busy:
    """What is admitted or running and could be claimed: that which keeps accounts and workers busy."""

    #: Units of normal (False) and of fast (True) jobs by account, in all queues.
    accounts: Mapping[bool, Mapping[str, int]]
    #: Units of fast jobs by queue.
    fast: Mapping[str, int]
    #: Admitted units by queue, that are still to be claimed.
    unclaimed: Mapping[str, int]


def join(session: Session, account_id: str, queues: Collection[tuple[str, bool]]) -> None:
    """Units of the account begin to wait in these (queue, fast) lines, in this transaction.

    Takes a lock on each line until the commit, so that the dispatcher cannot drop it meanwhile.
    """
    for queue, fast in sorted(queues):
        row = insert(Line).values(queue=queue, fast=fast, account_id=account_id)
        session.execute(
            row.on_conflict_do_update(
                index_elements=["queue", "fast", "account_id"], set_={"joined_at": func.now()}
            )
        )


def mend(session: Session) -> int:
    """Give a place in the line to every account that has units waiting and none; how many there were."""
    return session.execute(_MEND).rowcount  # type: ignore[attr-defined, no-any-return]


def standing(session: Session) -> dict[str, set[bool]]:
    """The queues in which somebody may wait: for normal (False) or for fast (True) jobs."""
    found: dict[str, set[bool]] = {}
    for queue, fast in session.execute(_STANDING, {"queues": list(stages.ALL)}):
        found.setdefault(queue, set()).add(fast)
    return found


def busy_of(session: Session, pools: Mapping[str, Pool]) -> Busy:
    """What keeps accounts and workers busy.

    Admitted units that no live worker can claim take no share of their account: they would keep it until
    their job times out. Nor do they take room, but in a queue without any worker, where they are all
    that is admitted until one comes.
    """
    accounts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    fast: Counter[str] = Counter()
    unclaimed: Counter[str] = Counter()
    kinds = (Unit.account_id, Unit.queue, Unit.fast, Unit.pins, Unit.status)
    open_units = Unit.status.in_([UnitStatus.ADMITTED, UnitStatus.RUNNING])
    for account_id, queue, is_fast, pins, status, units in session.execute(
        select(*kinds, func.count()).where(open_units).group_by(*kinds)
    ):
        pool = pools.get(queue, NOBODY)
        claimable = status == UnitStatus.RUNNING or pins in pool.pins
        if claimable:
            accounts[is_fast][account_id] += units
            fast[queue] += units if is_fast else 0
        if status == UnitStatus.ADMITTED and (claimable or not pool.live):
            unclaimed[queue] += units
    return Busy(accounts, fast, unclaimed)


def next_turns(
    session: Session,
    settings: Settings,
    queue: str,
    lines: Collection[bool],
    pool: Pool,
    busy: Busy,
    room: int,
) -> Turns:
    """The ``room`` units of the queue that are to be admitted next, in order.

    ``lines`` are those of the queue in which somebody may stand.
    """
    pins = sorted(pool.pins) if pool.live else _all_pins(session, queue)
    fast, normal = _Found([], []), _Found([], [])
    if True in lines:
        fast = _in_line(session, queue, True, pins, busy.accounts[True], room, None)
    if False in lines:
        cap = settings.account_running_cap
        normal = _in_line(session, queue, False, pins, busy.accounts[False], room, cap)
    share, at_work = settings.fast_share, busy.fast.get(queue, 0)
    units = together(fast.turns, normal.turns, live=pool.live, share=share, at_work=at_work, room=room)
    empty = [(True, account) for account in fast.nobody] + [(False, account) for account in normal.nobody]
    return Turns(units, tuple(empty))


def serve(session: Session, queue: str, turns: Turns, admitted: Collection[str]) -> None:
    """Write down whose turn it was, and drop the lines in which nobody waits any more."""
    for fast in (True, False):
        accounts = [turn.account_id for turn in turns.units if turn.fast is fast and turn.unit_id in admitted]
        if accounts:
            last = list(dict.fromkeys(reversed(accounts)))[::-1]
            session.execute(_SERVED, {"queue": queue, "fast": fast, "accounts": last})
        if empty := sorted(account for kind, account in turns.empty if kind is fast):
            lines = select(Line.account_id).where(
                Line.queue == queue, Line.fast.is_(fast), Line.account_id.in_(empty)
            )
            locked = session.scalars(lines.order_by(Line.account_id).with_for_update(skip_locked=True)).all()
            session.execute(_LEAVE, {"queue": queue, "fast": fast, "accounts": list(locked)})


def room_for_fast(session: Session, settings: Settings, queue: str) -> bool:
    """Whether the pool has two free workers beyond what is admitted, or about to be."""
    pools = live_pools(session, settings)
    pool, busy = pools.get(queue, NOBODY), busy_of(session, pools)
    free = pool.idle - busy.unclaimed.get(queue, 0)
    if not takes_fast(free):
        return False
    lines = standing(session).get(queue, set())
    wanted = next_turns(session, settings, queue, lines, pool, busy, free)
    return takes_fast(free, len(wanted.units))


def _in_line(
    session: Session,
    queue: str,
    fast: bool,
    pins: Collection[str],
    busy: Mapping[str, int],
    room: int,
    cap: int | None,
) -> _Found:
    """The next ``room`` units of one line."""
    served: dict[str, datetime] = {}
    units: dict[str, list[str]] = {}
    for page in _pages(session, queue, fast, pins, room, room + len(busy) + _PAGE):
        for account, served_at, unit_id in page:
            served[account] = served_at
            units.setdefault(account, []).extend([unit_id] if unit_id is not None else [])
        # Nobody who comes later goes before these.
        if sum(1 for account, own in units.items() if own and not busy.get(account)) >= room:
            break
    found = in_turn(units, served, busy, fast=fast, room=room, cap=cap)
    return _Found(found, [account for account, own in units.items() if not own])


def _pages(
    session: Session, queue: str, fast: bool, pins: Collection[str], room: int, size: int
) -> Iterator[list[tuple[str, datetime, str | None]]]:
    """The line from its head, a page of accounts at a time."""
    asked: dict[str, object] = {"queue": queue, "fast": fast, "pins": list(pins), "room": room, "page": size}
    asked |= {"after": "-infinity", "last": ""}
    while True:
        page = [(row[0], row[1], row[2]) for row in session.execute(_NEXT, asked)]
        yield page
        if len({account for account, _, _ in page}) < size:
            return
        asked |= {"after": page[-1][1], "last": page[-1][0]}


def _all_pins(session: Session, queue: str) -> list[str]:
    query = select(Unit.pins).where(Unit.queue == queue, Unit.status == UnitStatus.WAITING).distinct()
    return list(session.scalars(query))
