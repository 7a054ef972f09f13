"""The course of a soak: the farm works while it is watched and replaced, then it comes to rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from sqlalchemy import text

from renderfarm import stages
from renderfarm.trial import checks
from renderfarm.trial.soak.customers import Customer, Tally
from renderfarm.trial.soak.local import LocalFarm
from renderfarm.trial.soak.post import Post
from renderfarm.trial.soak.rolling import Replaced, Rolling
from renderfarm.trial.soak.watch import Sample, Watch
from renderfarm.trial.waiting import InVain, until

#: Between two looks, in seconds.
_EVERY = 3.0
#: The upgrade begins when half of the time is over, and ends before the last quarter.
_UPGRADE = (0.5, 0.72)
#: How long what was ordered, and what is told of it, may take when nothing more is ordered.
_REST_SECONDS = 300.0
#: How often is told how it goes on.
_TELL_SECONDS = 30.0


def work(
    farm: LocalFarm,
    customers: Sequence[Customer],
    seconds: float,
    wrong: list[str],
    tell: Callable[[str], None],
) -> tuple[list[Sample], list[Replaced]]:
    """Let customers order for so long, and replace every process; what was seen meanwhile.

    It takes longer where the upgrade does: one that is too slow for a short soak is finished all the same.
    """
    began = time.monotonic()
    samples: list[Sample] = []
    stop = threading.Event()
    rolling = Rolling(farm, lambda: time.monotonic() - began)
    upgrade = [share * seconds for share in _UPGRADE]
    upgrading = threading.Thread(target=rolling.run, args=(*upgrade, stop), name="upgrade", daemon=True)
    ordering = [
        threading.Thread(target=each.run, args=(stop,), name="customer", daemon=True) for each in customers
    ]
    try:
        for thread in (upgrading, *ordering):
            thread.start()
        with closing(Watch(farm)) as watch:
            told = 0.0
            while (at := time.monotonic() - began) < seconds or upgrading.is_alive():
                samples.append(watch.look(at))
                if at >= told:
                    told += _TELL_SECONDS
                    tell(_course(at, samples[-1], rolling, customers))
                time.sleep(max(0.0, _EVERY * len(samples) - (time.monotonic() - began)))
    finally:
        stop.set()
    deadline = time.monotonic() + _REST_SECONDS
    for thread in ordering:
        thread.join(max(0.0, deadline - time.monotonic()))
    wrong += rolling.wrong
    wrong += [f"a customer still waits for {each.doing}" for each in customers if each.doing]
    return samples, rolling.replaced


def rest(farm: LocalFarm, tally: Tally, post: Post, wrong: list[str]) -> None:
    """Bring the farm to rest, and say what is lost, left or not as it should be."""
    try:
        until(lambda: not _undelivered(farm), _REST_SECONDS, "webhooks to be delivered")
    except InVain:
        wrong += [f"a webhook was not delivered: {each}" for each in _undelivered(farm)]
    for group in ("api", "workers"):
        farm.supervisor.stop(group)
    checks.collect_garbage(farm)
    wrong += _messages(farm)
    for group in ("dispatch", "flower"):
        farm.supervisor.stop(group)
    made = checks.outputs(farm)
    wrong += checks.whole(farm, made)
    wrong += [f"a process is left: {each}" for each in farm.left()]
    wrong += [
        f"a temporary file is left: {path.name}" for path in farm.temporary.rglob("*") if path.is_file()
    ]
    wrong += post.untold(tally.jobs)
    wrong += _otherwise(farm, tally)
    wrong += _unlike(tally, made)


def _course(at: float, sample: Sample, rolling: Rolling, customers: Sequence[Customer]) -> str:
    megabytes = sum(seen.megabytes for seen in sample.processes)
    connections = sum(sample.connections.values())
    doing = ", ".join(each.doing or "-" for each in customers)
    replaced = f", {len(rolling.replaced)} replaced" if rolling.replaced else ""
    return f"{at:5.0f} s: {megabytes:.0f} MB, {connections} connections{replaced}; now {doing}"


def _undelivered(farm: LocalFarm) -> list[str]:
    query = text("SELECT type || ' of ' || job_id FROM webhook_deliveries WHERE delivered_at IS NULL")
    with farm.database.begin() as session:
        return list(session.scalars(query))


def _messages(farm: LocalFarm) -> list[str]:
    """Messages that nobody will take any more."""
    import redis

    with closing(redis.Redis.from_url(farm.settings.redis_url, socket_timeout=10)) as broker:
        left = {queue: broker.llen(queue) for queue in stages.ALL} | {"unacked": broker.hlen("unacked")}
    return [f"{number} messages are left in {queue}" for queue, number in left.items() if number]


def _otherwise(farm: LocalFarm, tally: Tally) -> list[str]:
    """Jobs that are not as their customers were told, or that nobody has ordered."""
    with farm.database.begin() as session:
        query = text("SELECT id, status FROM jobs WHERE kind = 'render'")
        rows = {job_id: status for job_id, status in session.execute(query)}
    return [
        f"{job_id} is {rows.get(job_id)}, and its customer was told {tally.jobs.get(job_id)}"
        for job_id in sorted(rows.keys() | tally.jobs.keys())
        if rows.get(job_id) != tally.jobs.get(job_id)
    ]


def _unlike(tally: Tally, made: dict[str, checks.Digests]) -> list[str]:
    """Orders of the same whose videos differ; those whose files were deleted have none."""
    found = []
    for name, job_ids in tally.alike.items():
        videos = {made[job_id]["output"] for job_id in job_ids if made.get(job_id)}
        if len(videos) > 1:
            found.append(f"{len(videos)} different videos of {len(job_ids)} orders of {name}")
    return found
