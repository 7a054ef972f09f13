"""Whose messages a courier has in hand, and whose it may still take. Not safe for threads by itself."""

from __future__ import annotations

from collections import Counter

from renderfarm.delivery import Full, Message

#: Messages that go to one host at once; the last of them for an account that has none on its way there.
_PER_HOST = 5
#: An account's share of all hands: many hosts may be one receiver's.
_PER_ACCOUNT = 0.5
#: The share of the hands that is kept for accounts that have none: two busy ones would fill the rest.
_KEPT = 0.25


class Hands:
    """So many hands, of which no host and no account may have more than its share."""

    def __init__(self, count: int) -> None:
        self._account_share = max(1, int(count * _PER_ACCOUNT))
        self._open = count - int(count * _KEPT)
        #: How many messages of which account go to which host.
        self._held: Counter[tuple[str, str]] = Counter()

    def take(self, message: Message) -> None:
        """It is on its way."""
        self._held[message.account_id, message.host] += 1

    def let_go(self, message: Message) -> None:
        """It has arrived, or not."""
        self._held = +(self._held - Counter([(message.account_id, message.host)]))

    def full(self) -> Full:
        """Who may not have one more hand."""
        hosts: Counter[str] = Counter()
        accounts: Counter[str] = Counter()
        for (account, host), count in self._held.items():
            accounts[account] += count
            hosts[host] += count
        share = self._account_share if self._held.total() < self._open else 1
        return Full(
            hosts=[host for host, count in hosts.items() if count >= _PER_HOST],
            accounts=[account for account, count in accounts.items() if count >= share],
            pairs=[pair for pair in self._held if hosts[pair[1]] == _PER_HOST - 1],
        )
