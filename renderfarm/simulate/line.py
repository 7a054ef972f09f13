"""Accounts with units waiting: what the rows of a line hold, for the rules of whose turn it is."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from itertools import count

from renderfarm.turns import Turn, in_turn


class Line:
    """One line of a queue: its accounts, in the order in which they were served."""

    def __init__(self) -> None:
        self._accounts: dict[str, list[tuple[float, str]]] = {}
        self._served: dict[str, int] = {}
        self._clock = count()

    def join(self, account: str, queued_at: float, unit_id: str) -> None:
        """A unit begins to wait, behind those of the account's older jobs."""
        if account not in self._accounts:
            self._accounts[account] = []
            self._served[account] = next(self._clock)
        insort(self._accounts[account], (queued_at, unit_id))

    def next_turns(self, busy: Mapping[str, int], *, fast: bool, room: int, cap: int | None) -> list[Turn]:
        """Whose turn it is; accounts that have nothing more leave the line."""
        units: dict[str, list[str]] = {}
        gone, fresh = [], 0
        for account, own in self._accounts.items():
            if not own:
                gone.append(account)
                continue
            units[account] = [unit_id for _, unit_id in own[:room]]
            fresh += not busy.get(account)
            if fresh >= room:  # nobody who comes later goes before these
                break
        for account in gone:
            del self._accounts[account], self._served[account]
        return in_turn(units, self._served, busy, fast=fast, room=room, cap=cap)

    def serve(self, turn: Turn) -> None:
        """The unit is admitted, and its account goes to the end."""
        own = self._accounts.pop(turn.account_id)
        own.remove(next(each for each in own if each[1] == turn.unit_id))
        self._accounts[turn.account_id] = own
        self._served[turn.account_id] = next(self._clock)
