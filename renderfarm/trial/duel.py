"""Cancel against finish: two threads, two connections, one job; again and again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, text

from pipeline.spec import RENDER, Model, Plan, Stage
from renderfarm import jobs, leases, stages
from renderfarm.claims import WorkerIdentity
from renderfarm.errors import FarmError
from renderfarm.models import Attempt, Job, Settlement, Unit
from renderfarm.storage import StoredFile
from renderfarm.trial.farm import CREDITS, Farm

#: There are no files of which the rows of ended jobs could be the garbage.
FORGET_GARBAGE = text("DELETE FROM garbage")


@dataclass(frozen=True, slots=True)
class Duels:
    """How they ended."""

    finished: int
    cancelled: int
    wrong: tuple[str, ...]


def fight(farm: Farm, number: int) -> Duels:
    """Finish and cancel ``number`` jobs at the same moment; of each pair exactly one may win.

    The farm needs no process. Its rows are to be checked afterwards, as after any fault.
    """
    won: Counter[str] = Counter()
    wrong = []
    for _ in range(number):
        job_id, claim = _at_its_end(farm)
        result = _both(farm, job_id, claim)
        with farm.database.begin() as session:
            settled = session.get(Settlement, job_id)
            status = session.get_one(Job, job_id).status
        captured = settled.captured if settled else -1
        winners = [name for name, won_it in result.items() if won_it]
        if (winners, status, captured) not in (
            (["finish"], "complete", CREDITS),
            (["cancel"], "cancelled", 0),
        ):
            wrong.append(f"{job_id}: {result}, {status}, captured {captured}")
        won[str(status)] += 1
    return Duels(won["complete"], won["cancelled"], tuple(wrong))


def _both(farm: Farm, job_id: str, claim: leases.Claim) -> Mapping[str, bool]:
    start, results = threading.Barrier(2), {"finish": False, "cancel": False}

    def finish() -> None:
        start.wait()
        with farm.database.begin() as session:
            files = [StoredFile("output", f"out/{job_id}/{'0' * 64}.mp4", 1, "0" * 64)]
            results["finish"] = jobs.finish(session, farm.settings, claim, files, {})

    def cancel() -> None:
        start.wait()
        try:
            farm.cancel(job_id)
        except FarmError as error:
            if error.code != "CS-UORC01-112":
                raise
        else:
            results["cancel"] = True

    threads = [threading.Thread(target=each) for each in (finish, cancel)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _at_its_end(farm: Farm) -> tuple[str, leases.Claim]:
    """A job of which only the end of its stitching is left to commit; the rest of it was never drawn."""
    job_id = farm.submit_rows()
    with farm.database.begin() as session:
        job = session.get_one(Job, job_id)
        plan = Plan.from_json(job.plan)
        session.execute(delete(Unit).where(Unit.job_id == job_id))
        units = [_unit(job, plan, stage) for stage in RENDER]
        session.add_all(units)
        session.flush()
        session.add_all(_attempt(unit) for unit in units if unit.status == "done")
    versions = {"engines": [], "perception": plan.perception, "plan": plan.version}
    identity = WorkerIdentity("duellist", stages.CPU, versions)
    with farm.database.begin() as session:
        claim = leases.claim(session, farm.settings, f"{job_id}:{Stage.STITCH}:0", identity)
    assert claim is not None
    return job_id, claim


def _unit(job: Job, plan: Plan, stage: Stage) -> Unit:
    queue, last = stages.queue_of(stage, Model.V4), stage is Stage.STITCH
    return Unit(
        id=f"{job.id}:{stage}:0",
        job_id=job.id,
        account_id=job.account_id,
        stage=stage.value,
        queue=queue,
        pins=stages.pins_by(plan, queue),
        status="admitted" if last else "done",
        attempt=int(not last),
    )


def _attempt(unit: Unit) -> Attempt:
    began = {"worker": "", "started_at": func.now()}
    return Attempt(unit_id=unit.id, attempt=1, stage=unit.stage, outcome="done", **began)
