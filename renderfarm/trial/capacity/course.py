"""How a farm fares with the orders that it is sent: the model, or a real one."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from sqlalchemy import func, select

from pipeline.spec import RenderSpec, plan_for
from renderfarm import accounts, credits, prices, stages
from renderfarm.db import new_id
from renderfarm.errors import FarmError
from renderfarm.models import Job, Unit
from renderfarm.simulate.demand import Order
from renderfarm.simulate.farm import simulate
from renderfarm.simulate.outcome import percentile
from renderfarm.simulate.scenario import Scenario
from renderfarm.trial.capacity.alone import seconds
from renderfarm.trial.farm import Farm


@dataclass(frozen=True, slots=True)
class Course:
    """How a farm fared, a real one or the model: seconds, and shares of its workers' time."""

    #: From each job's submission to its first unit's beginning, and to its end.
    waits: Sequence[float]
    wholes: Sequence[float]
    #: From the first submission to the last end.
    makespan: float
    busy: Mapping[str, float]
    refused: int

    def numbers(self) -> dict[str, float]:
        """What is compared."""
        return {
            "mean wait": fmean(self.waits),
            "p95 completion": percentile(self.wholes, 95),
            "makespan": self.makespan,
            **{f"{queue} busy": 100 * self.busy[queue] for queue in stages.QUEUES.values()},
        }


def of_model(scenario: Scenario, sent: Sequence[Order]) -> Course:
    """How the model fares."""
    outcome = simulate(scenario, sent)
    span = outcome.seconds - min(render.order.at for render in outcome.renders)
    return Course(
        [render.wait for render in outcome.renders],
        [render.whole for render in outcome.renders],
        span,
        {queue: outcome.pools[queue].busy / (span * pool.least) for queue, pool in scenario.pools.items()},
        len(outcome.refused),
    )


def of_farm(
    farm: Farm, workers: Mapping[str, int], clips: Mapping[int, Path], sent: Sequence[Order]
) -> Course:
    """Send the orders at their times, wait for the end of all, and read what the rows say."""
    owners = _owners(farm, {order.account for order in sent})
    ids, begun = [], time.monotonic() - sent[0].at
    for order in sent:
        time.sleep(max(0.0, begun + order.at - time.monotonic()))
        try:
            ids.append(_submit(farm, clips[order.video.frames], owners[order.account], order))
        except FarmError as error:
            if error.code != "CS-UORC01-001":
                raise
    farm.wait_ended(ids, 3600)
    with farm.database.begin() as session:
        jobs = session.scalars(select(Job).where(Job.id.in_(ids))).all()
        took = func.extract("epoch", func.sum(Unit.finished_at - Unit.started_at))
        query = select(Unit.queue, took).where(Unit.job_id.in_(ids)).group_by(Unit.queue)
        busy = {queue: float(worked) for queue, worked in session.execute(query)}
    if failed := [job.id for job in jobs if job.status != "complete"]:
        raise RuntimeError(f"{len(failed)} jobs were not completed: {failed[0]}")
    ends = [job.completed_at for job in jobs if job.completed_at]
    span = seconds(min(job.created_at for job in jobs), max(ends))
    return Course(
        [seconds(job.created_at, job.started_at) for job in jobs],
        [seconds(job.created_at, job.completed_at) for job in jobs],
        span,
        {queue: busy.get(queue, 0.0) / (span * number) for queue, number in workers.items()},
        len(sent) - len(ids),
    )


def _owners(farm: Farm, names: Collection[str]) -> dict[str, str]:
    """An account for each name, with all that it needs."""
    with farm.database.begin() as session:
        owners = {name: accounts.create_account(session, new_id("sender")).id for name in sorted(names)}
        for owner in owners.values():
            credits.grant(session, owner, 1_000_000)
    return owners


def _submit(farm: Farm, clip: Path, account_id: str, order: Order) -> str:
    return farm.submit(
        clip,
        account_id=account_id,
        spec=RenderSpec(order.model),
        plan=plan_for(order.model, engine=farm.settings.engine_of(order.model)),
        mode=order.mode,
        credits=prices.price(order.video, order.mode),
    )
