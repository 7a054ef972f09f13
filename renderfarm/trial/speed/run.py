"""One job on a farm that stands ready, and where its time went."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from pipeline.spec import Model, RenderSpec, plan_for
from renderfarm.models import Job, Unit
from renderfarm.settings import Settings
from renderfarm.trial.farm import QUICK, Farm


def steady(engine: str = "") -> dict[str, Any]:
    """The settings of a measured farm: the clock of a real one, and for v4 this engine or the model's own."""
    usual = Settings(database_url="")
    own = {name: getattr(usual, name) for name in QUICK}
    return {**own, "development": bool(engine), "engine_v4": engine}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished job: seconds from its submission's commit, all of them."""

    job_id: str
    whole: float
    #: When the first unit was started.
    first: float
    #: By stage: units, when the first was made and started, when the last ended, seconds of all of them.
    stages: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        return {"seconds": round(self.whole, 3), "first_unit": round(self.first, 4), "stages": self.stages}


def render(
    farm: Farm,
    clip: Path,
    *,
    picture: Path | None = None,
    mode: str = "full_pipeline",
    model: Model = Model.V4,
    seconds: float = 900,
) -> Run:
    """Submit one job, as the ingress does, and wait for its end; raises where it is not complete."""
    plan = plan_for(model, engine=farm.settings.engine_of(model))
    job_id = farm.submit(clip, picture=picture, mode=mode, plan=plan, spec=RenderSpec(model))
    committed = time.time()  # the database's clock too: they share a machine
    ended = farm.wait_ended([job_id], seconds)
    if ended[job_id] != "complete":
        job = farm.job(job_id)
        raise RuntimeError(f"The job ended {job.status}: {job.error_code} {job.error_message}")
    return _described(farm, job_id, committed)


def _described(farm: Farm, job_id: str, committed: float) -> Run:
    def since(time: Any) -> Any:
        return func.extract("epoch", time) - committed

    took = func.extract("epoch", func.sum(Unit.finished_at - Unit.started_at))
    moments = (func.min(Unit.created_at), func.min(Unit.started_at), func.max(Unit.finished_at))
    query = select(Unit.stage, func.count(), *map(since, moments), took).where(Unit.job_id == job_id)
    with farm.database.begin() as session:
        whole = float(session.execute(select(since(Job.completed_at)).where(Job.id == job_id)).scalar_one())
        names = ("units", "made", "started", "ended", "work")
        stages = {
            str(stage): dict(zip(names, (round(float(value), 4) for value in values), strict=True))
            for stage, *values in session.execute(query.group_by(Unit.stage))
        }
    return Run(job_id, whole, min(stage["started"] for stage in stages.values()), stages)
