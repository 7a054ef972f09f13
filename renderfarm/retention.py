"""Files of ended renders go when they have been kept for long enough: outputs and inputs each after their time.

What an asset is made of is not touched: a saved character or scene is kept until it is deleted, its picture
or video too, since it is prepared anew from these when versions change. Uploads that no job has taken have
a time of their own (``uploads.py``).
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, select, text
from sqlalchemy.orm import Session

from renderfarm import holdings
from renderfarm.db import after
from renderfarm.models import INPUTS_KEPT, OUTPUTS_KEPT, Job
from renderfarm.settings import Settings

_DAY = 24 * 3600.0


def expire(session: Session, settings: Settings, limit: int) -> int:
    """Throw away what is past its time, the oldest first, of ``limit`` renders each; of how many it was.

    Their rows stay, and their status. Those that somebody else is changing are left for the next time.
    """
    outputs = _old(session, text(OUTPUTS_KEPT), settings.keep_outputs_days, limit)
    for job in outputs:
        holdings.drop_outputs(session, settings, job)
    inputs = _old(session, text(INPUTS_KEPT), settings.keep_uploads_days, limit)
    for job in inputs:
        holdings.drop_inputs(session, settings, job)
    return len({job.id for job in (*outputs, *inputs)})


def _old(session: Session, kept: ColumnElement[bool], days: float, limit: int) -> list[Job]:
    if not days:
        return []
    old = select(Job).where(kept, Job.completed_at < after(-days * _DAY)).order_by(Job.completed_at)
    return list(session.scalars(old.limit(limit).with_for_update(skip_locked=True)))
