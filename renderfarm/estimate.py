"""What a render would cost, and when it would be there: reckoned from what the farm has done of late.

Two things are taken from finished jobs of the same kind, per credit: how long they ran, and how long they
kept workers of their pool busy. A new one waits until the workers that are there have done what the jobs
before it still need. That is a guess: turns are taken unit by unit, and nobody knows who will come.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.spec import Model
from renderfarm import line
from renderfarm.db import Database
from renderfarm.jobs import FAST
from renderfarm.models import JobKind
from renderfarm.places import IN_LINE
from renderfarm.pools import NOBODY, live_pools
from renderfarm.settings import Settings
from renderfarm.stages import QUEUES

#: A job's size: its credits, and one for what is free or has no price yet.
_SIZE = "greatest(coalesce(jobs.credits, 0), 1)"

#: Seconds per credit that the last 50 jobs of each kind took, of those that ended within a day.
_PACE = text(
    f"""
    SELECT kinds.kind, kinds.mode,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY lately.run / lately.size) AS run,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(done.work, 0) / lately.size) AS work
    FROM (VALUES ('render', 'full_pipeline'), ('render', 'preprocessed'), ('render', 'fast'),
                 ('character', 'full_pipeline'), ('scene', 'full_pipeline')) AS kinds(kind, mode),
    LATERAL (
        SELECT id, {_SIZE} AS size, extract(epoch FROM completed_at - started_at)::float8 AS run
        FROM jobs
        WHERE model = :model AND kind = kinds.kind AND mode = kinds.mode AND status = 'complete'
            AND completed_at > now() - interval '1 day' AND started_at IS NOT NULL
        ORDER BY completed_at DESC LIMIT 50
    ) AS lately,
    LATERAL (
        SELECT sum(extract(epoch FROM finished_at - started_at))::float8 AS work
        FROM units WHERE job_id = lately.id AND queue = :queue AND status = 'done'
    ) AS done
    GROUP BY kinds.kind, kinds.mode
    """
)

#: The jobs before a unit that the account would send now, alike ones together: those in its line that would
#: be admitted first, and all that are at work. ``spent`` are the seconds that workers have given to each.
_BEFORE = text(
    f"""
    {IN_LINE}, mine AS (
        SELECT 1 + coalesce((SELECT units FROM busy WHERE account_id = :account), 0)
                + (SELECT count(*) FROM waiting WHERE account_id = :account) AS turn,
            coalesce((SELECT served_at FROM lines
                WHERE queue = :queue AND fast = :fast AND account_id = :account), now()) AS since
    ), first AS (
        SELECT job_id, count(*) AS units FROM line, mine
        WHERE (line.turn, coalesce(line.since, 'infinity'), line.account_id)
            < (mine.turn, mine.since, :account)
        GROUP BY job_id
    ), before AS (
        SELECT job_id FROM first UNION SELECT id FROM jobs WHERE status = 'processing' AND model = :model
    ), each AS (
        SELECT jobs.kind, jobs.mode, jobs.status = 'queued' AS queued, {_SIZE} AS size,
            coalesce(first.units, 0) AS units, coalesce((
                SELECT sum(extract(epoch FROM coalesce(finished_at, now()) - started_at))::float8 FROM units
                WHERE job_id = jobs.id AND queue = :queue AND status IN ('running', 'done')
            ), 0) AS spent
        FROM before JOIN jobs ON jobs.id = job_id AND jobs.status IN ('queued', 'processing')
        LEFT JOIN first USING (job_id)
    )
    SELECT kind, mode, queued, size, spent, count(*) AS jobs, sum(units)::int8 AS units FROM each
    GROUP BY kind, mode, queued, size, spent
    """
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """When a render that is sent now would be drawn; None for what nobody can know."""

    #: Its place among the queued; None where it would not be taken.
    queue_position: int | None
    #: Seconds until it begins.
    wait: float | None
    #: Seconds from then to its end, for each credit.
    per_credit: float | None


class Estimates:
    """Estimates of one process: whoever asks for the same again within seconds is told the same.

    One is reckoned at a time: each looks at the whole of a line.
    """

    def __init__(self, max_age: float = 5.0) -> None:
        self._max_age = max_age
        self._told: dict[tuple[str, Model, str], tuple[float, Estimate]] = {}
        self._reckoning = threading.Lock()

    def of(
        self, database: Database, settings: Settings, account_id: str, model: Model, mode: str
    ) -> Estimate:
        """What a render of this mode would meet."""
        asked = account_id, model, mode
        with self._reckoning:
            now = time.monotonic()
            self._told = {key: told for key, told in self._told.items() if now - told[0] < self._max_age}
            if asked not in self._told:
                with database.begin() as session:
                    found = estimate(session, settings, account_id, model, mode)
                self._told[asked] = time.monotonic(), found
            return self._told[asked][1]


def estimate(session: Session, settings: Settings, account_id: str, model: Model, mode: str) -> Estimate:
    """What a render of this mode would meet. Reads alone."""
    queue, fast = QUEUES[model], mode == FAST
    asked = {"account": account_id, "model": model.value, "queue": queue, "fast": fast}
    pace = {(row.kind, row.mode): row for row in session.execute(_PACE, asked)}
    own = pace.get((JobKind.RENDER.value, mode))
    per_credit = own.run if own else None
    if fast and not line.room_for_fast(session, settings, queue):
        return Estimate(None, None, per_credit)
    before = session.execute(_BEFORE, asked).all()
    pool = live_pools(session, settings).get(queue, NOBODY)
    wait: float | None = None
    if pool.idle > sum(row.units for row in before):
        wait = 0.0
    elif pool.live and all((row.kind, row.mode) in pace for row in before):
        work = sum(
            row.jobs * max(0.0, row.size * pace[row.kind, row.mode].work - row.spent) for row in before
        )
        wait = round(work / pool.live, 1)
    return Estimate(1 + sum(row.jobs for row in before if row.queued), wait, per_credit)
