"""Send spoilt files through a real ingress, render what it takes, and look at what is left."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from pipeline.errors import MediaError, PipelineError
from pipeline.ffmpeg import probe, read_frames
from renderfarm import accounts
from renderfarm.errors import TABLE
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.hostile.case import Case, case
from renderfarm.trial.hostile.seeds import make
from renderfarm.trial.hostile.watch import Watch, left_of
from renderfarm.trial.waiting import until

#: Requests on their way at once.
_CONNECTIONS = 4
#: How much more memory the ingress may have afterwards than before, in MB: its pools and caches.
_MOST_KEPT_MB = 150.0
#: What a job may end with besides ``complete``: the file's own fault, by its code.
_FAULTS = ("CS-ORIV-", "CS-UORC01-101", "CS-UORC01-102")
_WAIT_SECONDS = 1800.0


@dataclass(slots=True)
class Tally:
    """What came of all files."""

    #: Answers, by status and code.
    answers: Counter[str] = field(default_factory=Counter)
    #: Files that were taken and read whole, by how that ended.
    readings: Counter[str] = field(default_factory=Counter)
    #: Jobs that were rendered, by how they ended.
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def run(
    ground: Ground, *, number: int, seed: int, render_every: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """Try so many files. Every one that is taken is read whole, each ``render_every``-th of them is rendered.

    ``report`` hears how it goes on. The answer's ``wrong`` names what must not be.
    """
    begun = time.monotonic()
    scratch = ground.room("scratch")
    seeds = make(ground.room("seeds"))
    tally = Tally()
    # Nobody works until all is sent: what is not to be rendered is cancelled while it waits.
    with Farm.open(
        ground, workers={}, dispatchers=0, api=True, engine_v4="fixed:ms=0", environ={"TMPDIR": str(scratch)}
    ) as farm:
        assert farm.api is not None
        door = _Door(farm, tally, render_every, ground.room("taken"))
        with Watch(farm.api) as watch:
            door.send(case(seeds, seed, 0), spoilt=False)  # what is loaded with the first is no leak
            watch.before = watch.now
            with ThreadPoolExecutor(_CONNECTIONS) as pool:
                sent = [
                    pool.submit(lambda n: door.send(case(seeds, seed, n)), n) for n in range(1, number + 1)
                ]
                for count, each in enumerate(sent, 1):
                    each.result()
                    if count % 100 == 0:
                        report(f"{count} sent, {len(door.kept)} to render, {len(tally.wrong)} wrong")
        sending = time.monotonic() - begun
        memory = {"before": watch.before, "after": watch.now, "peak": watch.peak, "child": watch.child_peak}
        if memory["after"] - memory["before"] > _MOST_KEPT_MB:
            tally.wrong.append(f"the ingress grew: {memory} MB")
        _render(farm, door.kept, tally)
        tally.wrong += left_of(farm.folder)
        tally.wrong += [
            f"left in the store: {path.name}"
            for path in Path(farm.folder / "store").rglob(".*")
            if path.is_file()
        ]
    tally.wrong += [f"left behind: {path.relative_to(scratch)}" for path in scratch.rglob("*")]
    return {
        "seed": seed,
        "files": number,
        "seconds": round(time.monotonic() - begun, 1),
        "files_per_second": round(number / sending, 1),
        "answers": dict(sorted(tally.answers.items())),
        "readings": dict(sorted(tally.readings.items())),
        "rendered": dict(sorted(tally.ends.items())),
        "ingress_mb": memory,
        "wrong": tally.wrong,
    }


class _Door:
    """Sends cases to the ingress, and looks at what it answers."""

    def __init__(self, farm: Farm, tally: Tally, render_every: int, taken: Path) -> None:
        self._address = f"{farm.settings.public_url}/api/render"
        self._tally = tally
        self._every = render_every
        self._taken = taken
        self._lock = threading.Lock()
        self._count = 0
        #: The jobs to be rendered, by what was done to their files.
        self.kept: dict[str, str] = {}
        with farm.database.begin() as session:
            _, self._secret = accounts.create_key(session, farm.account_id)

    def send(self, sent: Case, *, spoilt: bool = True) -> None:
        """One POST; whoever is taken is read whole, and cancelled unless it is to be rendered."""
        files = {"ref_image": sent.picture, "driving_video": sent.video}
        headers = {"Authorization": f"Bearer {self._secret}"}
        title = f"{sent.number} ({sent.name})"
        try:
            answer = requests.post(self._address, files=files, headers=headers, timeout=120)
        except requests.RequestException as error:
            with self._lock:
                self._tally.wrong.append(f"{title}: no answer: {error}")
            return
        problem = _problem_of(answer)
        job_id = "" if problem or answer.status_code != 202 else str(answer.json()["job_id"])
        with self._lock:
            self._count += bool(job_id)
            keep = bool(job_id) and spoilt and self._count % self._every == 0
            code = "" if answer.status_code == 202 or problem else f" {answer.json()['error_code']}"
            self._tally.answers[f"{answer.status_code}{code}"] += 1
            if problem:
                self._tally.wrong.append(f"{title}: {problem}")
            if keep:
                self.kept[job_id] = title
        if not job_id:
            return
        if not keep:
            gone = requests.delete(f"{self._address}/{job_id}", headers=headers, timeout=60)
            if gone.status_code != 200:
                with self._lock:
                    self._tally.wrong.append(f"{title}: DELETE answered {gone.status_code}")
        self._read(sent, title)

    def _read(self, sent: Case, title: str) -> None:
        path = self._taken / f"{sent.number}-{sent.video[0]}"
        path.write_bytes(sent.video[1])
        try:
            frames = sum(1 for _ in read_frames(path, probe(path), size=(32, 32)))
            end = "whole" if frames else "empty"
        except MediaError as error:
            end = error.code
        except PipelineError as error:
            end = type(error).__name__
            with self._lock:
                self._tally.wrong.append(f"{title}: reading: {error}")
        finally:
            path.unlink()
        with self._lock:
            self._tally.readings[end] += 1


def _problem_of(answer: requests.Response) -> str:
    """What is wrong with an answer; empty where it is as documented."""
    try:
        body = answer.json()
    except ValueError:
        return f"{answer.status_code} without JSON: {answer.text[:80]!r}"
    if answer.status_code == 202:
        return "" if body.get("job_id") and body.get("status") == "queued" else f"202 with {body}"
    known = TABLE.get(body.get("error_code", ""))
    if answer.status_code >= 500 or known is None or known.status != answer.status_code:
        return f"{answer.status_code} with {body}"
    return "" if body["detail"]["error_code"] == body["error_code"] else f"two codes in {body}"


def _render(farm: Farm, kept: dict[str, str], tally: Tally) -> None:
    """Have the jobs rendered; what ends otherwise than whole or by the file's fault is wrong."""
    farm.add_dispatcher()
    for queue in ("v4", "cpu"):
        for _ in range(min(2, os.cpu_count() or 1)):
            farm.add_worker(queue)
    farm.wait_ready()
    farm.wait_ended(list(kept), _WAIT_SECONDS)
    for job_id, title in kept.items():
        job = farm.job(job_id)
        end = job.status if job.status == "complete" else f"{job.status} {job.error_code}"
        tally.ends[end] += 1
        if job.status != "complete" and not (job.error_code or "").startswith(_FAULTS):
            tally.wrong.append(f"{title}: {end}: {job.error_message}")
    tally.wrong += [f"{process.name} has ended" for process in farm.processes if not process.alive]
    for process in farm.processes:
        process.terminate()
    until(lambda: not any(process.alive for process in farm.processes), 60, "the farm to stop")
