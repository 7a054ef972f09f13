"""Webhooks on their way, by their rows; what came of each attempt its courier counts."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import text
from sqlalchemy.orm import Session

# What a courier has in hand is not due: its next attempt is the end of its lease.
_PENDING = text(
    """
    SELECT count(*) AS pending,
           greatest(0, coalesce(extract(epoch FROM now() - min(next_attempt_at)), 0)) AS late
    FROM webhook_deliveries WHERE next_attempt_at IS NOT NULL
    """
)


def families(session: Session) -> Iterator[Metric]:
    """How many there are, and how late."""
    row = session.execute(_PENDING).one()
    for name, help_text, value in (
        (
            "renderfarm_webhooks_pending",
            "Webhooks that are not delivered and not given up.",
            row.pending,
        ),
        (
            "renderfarm_webhook_oldest_due_age_seconds",
            "How long the longest waiting webhook has been due.",
            row.late,
        ),
    ):
        yield GaugeMetricFamily(name, help_text, value=float(value))
