"""Credits by the ledger: what moved, what is there, and whether the two agree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import text
from sqlalchemy.orm import Session

from renderfarm import credits
from renderfarm.metrics.tally import Sums, Tally
from renderfarm.models import EntryKind

# Ids are given in order but committed in any: so many of the last ones are not settled.
_MOVED = text(
    """
    SELECT edge.id AS mark, entries.id <= edge.id AS settled, kind,
        sum(greatest(abs(available_delta), abs(held_delta)))
    FROM ledger_entries entries,
        (SELECT greatest(max(id) - 10000, :mark) AS id FROM ledger_entries) edge
    WHERE entries.id > :mark GROUP BY 1, 2, 3
    """
)

_THERE = text("SELECT coalesce(sum(available), 0), coalesce(sum(held), 0) FROM accounts")

# Of jobs that have not ended and, which must not be, of those that have.
_OLDEST_HOLD = text(
    """
    SELECT extract(epoch FROM min(created_at))::float8 FROM jobs
    WHERE credits > 0 AND NOT EXISTS (SELECT 1 FROM settlements WHERE job_id = jobs.id)
    """
)
_NOW = text("SELECT extract(epoch FROM now())::float8")


def tally() -> Tally:
    """Of all ledger entries, by their kind."""
    return Tally(_MOVED, 0, 1)


def moved(sums: Sums) -> Metric:
    """What the sums of ``tally`` tell."""
    family = CounterMetricFamily("renderfarm_credits", "Credits that moved, by why.", labels=["kind"])
    for kind in EntryKind:
        family.add_metric([kind], sums.get((kind,), (0.0,))[0])
    return family


def balances(session: Session) -> Iterator[Metric]:
    """What all accounts have together."""
    available, held = session.execute(_THERE).one()
    for name, help_text, value in (
        ("renderfarm_credits_available", "Credits that accounts can spend.", available),
        ("renderfarm_credits_held", "Credits set aside for jobs that have not ended.", held),
    ):
        yield GaugeMetricFamily(name, help_text, value=float(value))


@dataclass(frozen=True, slots=True)
class Audit:
    """What only reading every row can tell."""

    #: Accounts whose balance is not the sum of their ledger, or of their open holds.
    mismatches: int
    #: When the oldest job was submitted that still holds credits, by the database's clock.
    oldest_hold: float | None
    #: When this was found out, by this machine's own clock.
    at: float

    @classmethod
    def of(cls, session: Session) -> Audit:
        """Read the ledger and the holds; it takes seconds where there are a million jobs."""
        at = time.monotonic()
        return cls(credits.mismatches(session), session.execute(_OLDEST_HOLD).scalar_one(), at)

    def families(self, session: Session) -> Iterator[Metric]:
        oldest = self.oldest_hold
        now = session.execute(_NOW).scalar_one()
        for name, help_text, value in (
            (
                "renderfarm_ledger_mismatch",
                "Accounts whose balance is not the sum of their ledger; must be 0.",
                self.mismatches,
            ),
            (
                "renderfarm_oldest_hold_age_seconds",
                "How long ago the oldest job that still holds credits was submitted.",
                0.0 if oldest is None else max(0.0, now - oldest),
            ),
            (
                "renderfarm_ledger_audit_age_seconds",
                "How long ago every account was last compared with its ledger.",
                time.monotonic() - self.at,
            ),
        ):
            yield GaugeMetricFamily(name, help_text, value=float(value))
