"""Beginning a job anew by another plan: what becomes of one whose versions have left the farm."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Session

from pipeline.spec import RENDER, Plan, Stage
from renderfarm import jobs, stages, units
from renderfarm.bell import announce
from renderfarm.jobs import Outcome
from renderfarm.models import FINAL, Artifact, JobKind, Unit, UnitStatus


def replan(session: Session, job_id: str, plan: Plan) -> bool:
    """Begin an open job anew by another plan, from its stored inputs and at the same price.

    For a job whose pinned versions no worker has any more: nothing of the one is used in the other, and
    attempts that still run are late from here on. False when it has ended, or has that plan.
    """
    job = jobs.lock(session, job_id)
    if job is None or job.status in FINAL or job.plan == plan.to_json():
        return False
    for unit in jobs.drop_units(session, job, Unit.status != UnitStatus.CANCELLED, Outcome.REPLANNED):
        unit.worker = unit.avoid = None
    session.execute(delete(Artifact).where(Artifact.job_id == job_id))
    job.plan, job.checkpoint = plan.to_json(), None
    # What was fetched stays, and so does what was found out of the video.
    job.facts = {name: fact for name, fact in job.facts.items() if name == jobs.SOURCE}
    job.notes = {**job.notes, "versions": "The farm was upgraded: the job was begun anew."}
    # What assets have lent to a render is of other versions, too.
    own = RENDER if job.kind == JobKind.RENDER else tuple(map(Stage, job.stages))
    fetching = (Stage.FETCH,) if job.urls else ()
    own = (*fetching, *(stage for stage in own if stage is not Stage.FETCH))
    job.stages = [stage.value for stage in own]
    session.flush()
    units.make(session, job, stages.following(own, (), ()))
    announce(session)
    return True
