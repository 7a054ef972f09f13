"""The units of a job's stages: how many there are of each, and which stages have theirs.

They are made waiting; from then on ``jobs.py`` alone changes their status.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline.spec import Model, Plan, Stage, VideoInfo
from pipeline.units import BY_SPANS, spans_of
from renderfarm import line, stages
from renderfarm.models import Job, Unit, UnitStatus

#: The mode of a job whose pieces and segments are units of their own.
FAST = "fast"


def planned(
    job_id: str,
    plan: Plan,
    model: Model,
    mode: str,
    video: VideoInfo | None,
    cuts: Sequence[int],
    new: Sequence[Stage],
) -> list[dict[str, Any]]:
    """The columns of the units of each stage, but for what they take from their job.

    One unit, or one for each span of a fast job.
    """
    units: list[dict[str, Any]] = []
    fast = mode == FAST
    for stage in new:
        queue = stages.queue_of(stage, model)
        parts = [(0, stages.size_of(stage, video))]
        if video is not None and fast and stage in BY_SPANS:
            parts = [(span.index, len(span)) for span in spans_of(stage, plan, video, cuts)]
        for index, total in parts:
            unit = {
                "id": f"{job_id}:{stage.value}:{index}",
                "stage": stage.value,
                "index": index,
                "queue": queue,
                "fast": fast,
                "pins": stages.pins_by(plan, queue),
                "total": total,
            }
            units.append(unit)
    return units


def make(session: Session, job: Job, new: Sequence[Stage]) -> None:
    """The units of more stages of a job. What is there stays as it is.

    A unit that a former plan had left behind is a new one's again; its attempts go on counting.
    """
    plan, cuts = Plan.from_json(job.plan), job.facts.get("cuts", ())
    units = planned(job.id, plan, Model(job.model), job.mode, job.known_video, cuts, new)
    if units:
        own = {
            "job_id": job.id,
            "account_id": job.account_id,
            "status": UnitStatus.WAITING.value,
            "queued_at": job.created_at,
        }
        row = insert(Unit).values([{**unit, **own} for unit in units])
        renewed: dict[str, Any] = {name: row.excluded[name] for name in ("pins", "status", "total")}
        renewed |= {"done": 0, "failures": 0, "lost": 0, "not_before": func.now(), "finished_at": None}
        session.execute(
            row.on_conflict_do_update(
                index_elements=["job_id", "stage", "index"],
                set_=renewed,
                where=Unit.status == UnitStatus.CANCELLED,
            )
        )
        line.join(session, job.account_id, {(unit["queue"], unit["fast"]) for unit in units})


def passed(session: Session, job: Job) -> tuple[set[Stage], set[Stage]]:
    """Of the job's stages those whose units are all done, and those that have units at all."""
    all_done = func.bool_and(Unit.status == UnitStatus.DONE)
    units = (Unit.job_id == job.id) & (Unit.status != UnitStatus.CANCELLED)
    rows = session.execute(select(Unit.stage, all_done).where(units).group_by(Unit.stage))
    made = {Stage(stage): bool(done) for stage, done in rows}
    return {stage for stage, done in made.items() if done}, set(made)
