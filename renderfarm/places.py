"""Where each queued job stands: the order in which ``line`` will have them admitted."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.spec import Model
from renderfarm.db import Database
from renderfarm.models import Job, JobStatus
from renderfarm.stages import QUEUES
from renderfarm.views import JobView

#: The line of ``renderfarm.line`` as if nobody had a cap: admitted units, then turn by turn.
IN_LINE = """
    WITH busy AS (
        SELECT account_id, count(*) AS units FROM units
        WHERE status IN ('admitted', 'running') AND fast = :fast GROUP BY account_id
    ), waiting AS (
        SELECT u.job_id, l.served_at, u.account_id, coalesce(b.units, 0) + row_number() OVER (
            PARTITION BY u.account_id ORDER BY u.queued_at, u.id) AS turn
        FROM units u LEFT JOIN busy b USING (account_id)
        LEFT JOIN lines l ON l.queue = u.queue AND l.fast = u.fast AND l.account_id = u.account_id
        WHERE u.queue = :queue AND u.fast = :fast AND u.status = 'waiting' AND u.not_before <= now()
    ), line AS (
        SELECT job_id, 0 AS turn, admitted_at AS since, '' AS account_id FROM units
        WHERE queue = :queue AND fast = :fast AND status = 'admitted'
        UNION ALL SELECT job_id, turn, served_at, account_id FROM waiting
    )
    """
_PLACES = text(
    f"""
    {IN_LINE}, placed AS (
        SELECT job_id, row_number() OVER (ORDER BY turn, since, account_id) AS place FROM line
    )
    SELECT job_id FROM placed JOIN jobs ON jobs.id = job_id AND jobs.status = 'queued'
    GROUP BY job_id ORDER BY min(place)
    """
)


def places(session: Session, queue: str, fast: bool) -> dict[str, int]:
    """The place of each queued job in one of the queue's lines: 1 is to start next."""
    found = session.scalars(_PLACES, {"queue": queue, "fast": fast})
    return {job_id: place for place, job_id in enumerate(found, 1)}


def queue_position(session: Session, job: Job) -> int | None:
    """1 for the queued job that is to start next; None for one that has started or ended.

    A fast job counts fast jobs, another one the others: neither waits for the other's line.
    """
    if job.status != JobStatus.QUEUED:
        return None
    return places(session, QUEUES[Model(job.model)], job.mode == "fast").get(job.id)


class Places:
    """The lines as they were at most ``max_age`` seconds ago: whoever asks often sorts seldom."""

    def __init__(self, max_age: float = 1.0) -> None:
        self._max_age = max_age
        self._seen: dict[tuple[str, bool], tuple[float, Mapping[str, int]]] = {}
        self._looking = threading.Lock()

    def place(self, database: Database, job: JobView) -> int | None:
        """The place of a job, while it is queued."""
        if job.status != JobStatus.QUEUED:
            return None
        with database.begin() as session:  # which connects only where the line has to be looked at again
            return self.of(session, job.id, job.model, job.mode)

    def of(self, session: Session, job_id: str, model: str, mode: str) -> int:
        """The place of a job that is queued."""
        line = QUEUES[Model(model)], mode == "fast"
        at, known = self._seen.get(line, (float("-inf"), {}))
        age = time.monotonic() - at
        # A job that is not there is newer than what we know; nobody has to know that at once.
        if age > self._max_age or (job_id not in known and age > self._max_age / 2):
            known = self._look(session, line, at, known)
        return known.get(job_id, len(known) + 1)

    def _look(
        self, session: Session, line: tuple[str, bool], at: float, known: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Look again, unless somebody else does: then what is known has to do, if anything is."""
        if not self._looking.acquire(blocking=not known):
            return known
        try:
            now = self._seen.get(line, (at, known))
            if now[0] == at:
                now = (time.monotonic(), places(session, *line))
                self._seen[line] = now
            return now[1]
        finally:
            self._looking.release()
