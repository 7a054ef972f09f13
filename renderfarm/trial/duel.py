"""Cancel against finish: two threads, two connections, one job; again and again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select, update

from pipeline.spec import Stage
from renderfarm import jobs, leases, stages
from renderfarm.claims import WorkerIdentity
from renderfarm.errors import FarmError
from renderfarm.models import Settlement, Unit
from renderfarm.storage import StoredFile
from renderfarm.trial.farm import Farm

_WORKER = "duellist"


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
            status = session.scalar(select(jobs.Job.status).where(jobs.Job.id == job_id))
        captured = settled.captured if settled else -1
        expected = {
            ("finish",): ("complete", True),
            ("cancel",): ("cancelled", False),
        }.get(tuple(name for name, won_it in sorted(result.items()) if won_it))
        if expected != (status, captured > 0) or captured < 0:
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
    """A job of which only the stitching is left to commit."""
    job_id = farm.submit_rows()
    before = [stage for stage in Stage if stage is not Stage.STITCH]
    with farm.database.begin() as session:
        job = jobs.lock(session, job_id)
        assert job is not None
        jobs.make_units(session, job, before[2:])
        ended = {"status": "done", "attempt": 0}
        session.execute(update(Unit).where(Unit.job_id == job_id).values(**ended))
        jobs.make_units(session, job, [Stage.STITCH])
        [unit_id] = jobs.admit(session, [f"{job_id}:stitch:0"])
    versions = {"engines": [], "perception": job.plan["perception"], "plan": job.plan["version"]}
    with farm.database.begin() as session:
        claim = leases.claim(session, farm.settings, unit_id, WorkerIdentity(_WORKER, stages.CPU, versions))
    assert claim is not None
    return job_id, claim
