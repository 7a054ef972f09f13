"""The rule by which a pool has more workers or fewer."""

from __future__ import annotations

import math
from collections import deque

from renderfarm.simulate.scenario import Pool

#: The chart's policies: twice as many or four more in so many seconds; how many fewer is each pool's own.
_MORE_AT_ONCE, _MORE_SECONDS, _FEWER_SECONDS = 4, 30.0, 300.0


class Rule:
    """How many workers are wanted: the chart's ScaledObject, KEDA's trigger with the HPA's behavior."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        #: What was wanted, and by how much their number was changed, at which time.
        self._lately: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def wanted(self, now: float, units: int, there: int) -> int:
        """How many there should be, of whom ``there`` are now."""
        own = self._pool
        target = math.ceil((own.headroom + units) / own.units_per_worker)
        target = min(own.ceiling, max(own.least, target))
        self._lately.append((now, target))
        while self._lately[0][0] < now - own.stabilization:
            self._lately.popleft()
        while self._changes and self._changes[0][0] <= now - _FEWER_SECONDS:
            self._changes.popleft()
        if target > there == 0:
            return 1  # by KEDA itself; the rest is the HPA's
        came = sum(change for at, change in self._changes if change > 0 and at > now - _MORE_SECONDS)
        went = -sum(change for _, change in self._changes if change < 0)
        most = max(2 * (there - came), there - came + _MORE_AT_ONCE)
        fewest = there + went - own.fewer_at_once
        highest = max(each for _, each in self._lately)
        wanted = max(there, min(target, most)) if target > there else min(there, max(highest, fewest))
        if wanted != there:
            self._changes.append((now, wanted - there))
        return wanted
