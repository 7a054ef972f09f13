"""One farm of real processes: a broker, dispatchers, workers, and the ingress where it is asked for."""

from __future__ import annotations

import secrets
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select, text

from pipeline.spec import Model, RenderSpec, plan_for
from renderfarm import accounts, credits, garbage, jobs, media, prices
from renderfarm.cdn import Public
from renderfarm.client import Client
from renderfarm.db import Database, new_id
from renderfarm.local.ports import answers, free_port
from renderfarm.local.processes import members
from renderfarm.local.redis import Redis
from renderfarm.models import FINAL, Job, Unit
from renderfarm.settings import Settings, variable_of
from renderfarm.storage import FileStore, Storage, open_storage
from renderfarm.trial import unruly
from renderfarm.trial.ground import Ground
from renderfarm.trial.process import Process
from renderfarm.trial.unruly import How
from renderfarm.trial.waiting import until

#: A clock that makes a fault take seconds.
QUICK: Mapping[str, Any] = {
    "lease_seconds": 3.0,
    "heartbeat_seconds": 0.25,
    "sweep_seconds": 0.25,
    "republish_seconds": 2.0,
    "retry_seconds": 0.2,
    "drain_seconds": 4.0,
    # What draws takes its time, and no processor.
    "development": True,
    "engine_v4": "fixed:ms=20",
}
#: The engine of the next version of the farm: its pictures are others.
NEXT_ENGINE = "fixed:ms=20,mark=next"
#: A plan that makes several pieces and segments of two seconds.
SHORT: Mapping[str, Any] = {"piece_frames": 30, "segment_frames": 20}
CREDITS = 7
#: A worker with another command for what draws.
_WORKER = """
import sys
from renderfarm.settings import Settings
from workers.__main__ import work
sys.exit(work(Settings.from_env(), sys.argv[1], sys.argv[2:]))
"""

#: The command of a worker of a queue.
WorkerCommand = Callable[[str], Sequence[str]]


def real_worker(queue: str) -> Sequence[str]:
    """The worker that a deployment runs."""
    return (sys.executable, "-m", "workers", "run", queue)


def unruly_worker(how: How, token: str, engine: str) -> Sequence[str]:
    """A v4 worker whose engine misbehaves once it has removed the file ``token`` (``-``: always)."""
    serve = [sys.executable, "-m", "pipeline", "serve", "--engine", engine]
    between = [sys.executable, "-m", unruly.__name__, how.value, token, *serve]
    return [sys.executable, "-c", _WORKER, "v4", *between]


class Farm:
    """Made by ``open``: what it names runs, and may be killed, paused, armed and started again.

    To be used by one thread.
    """

    def __init__(
        self,
        ground: Ground,
        folder: Path,
        broker: Redis,
        settings: Settings,
        environ: Mapping[str, str],
        worker_command: WorkerCommand,
    ) -> None:
        self.ground = ground
        self.folder = folder
        #: As every process has them, and the farm's functions that are called from here.
        self.settings = settings
        self.database = Database(settings.database_url)
        self.store: Storage = open_storage(settings)
        self.account_id = self._account()
        self._environ = {**ground.environ(folder), **_variables(settings), **environ}
        self._worker_command = worker_command
        self.redis = self._process("redis", broker.command(), lambda _: answers(broker.port))
        self.dispatchers: list[Process] = []
        self.workers: list[Process] = []
        self.api: Process | None = None
        self._clips: dict[Path, media.JudgedVideo] = {}

    @classmethod
    @contextmanager
    def open(
        cls,
        ground: Ground,
        *,
        workers: Mapping[str, int] | None = None,
        dispatchers: int = 1,
        api: bool = False,
        environ: Mapping[str, str] | None = None,
        worker_command: WorkerCommand = real_worker,
        **changed: Any,
    ) -> Iterator[Farm]:
        """A farm on its own database, store and broker; ready, unless it is told to have no process.

        ``workers``: how many of each queue, two of v4 and one of cpu unless told. ``changed`` are settings;
        the protocol's clock is ``QUICK`` unless they say otherwise. ``environ`` goes to every process on top.
        However the block ends, nothing of the farm runs or lies about afterwards.
        """
        folder = ground.room("farm")
        broker = Redis(folder / "redis", free_port(), secrets.token_urlsafe(12))
        broker.prepare()
        own: dict[str, Any] = {
            "database_url": ground.database(),
            "redis_url": broker.url,
            "storage_url": f"file://{folder / 'store'}",
            "work_dir": folder / "work",
            "public_url": f"http://127.0.0.1:{free_port()}",
            # One address and few keys load it with all they have: counted as elsewhere, and never refused.
            **{f"rate_limit_{whom}": "1000000/second" for whom in ("key", "address", "render")},
            **{
                f"free_{what}": 1_000_000
                for what in ("preprocess_per_day", "preprocess_open", "cancels_per_day")
            },
        }
        farm = cls(
            ground, folder, broker, Settings(**{**own, **QUICK, **changed}), environ or {}, worker_command
        )
        try:
            farm.redis.start()
            for _ in range(dispatchers):
                farm.add_dispatcher()
            for queue, number in ({"v4": 2, "cpu": 1} if workers is None else workers).items():
                for _ in range(number):
                    farm.add_worker(queue)
            if api:
                farm.add_api()
            farm.wait_ready()
            yield farm
        finally:
            farm.close()

    @property
    def processes(self) -> list[Process]:
        """All but PostgreSQL, which belongs to the ground."""
        return [*([self.api] if self.api else []), *self.dispatchers, *self.workers, self.redis]

    def add_dispatcher(self, **armed: str) -> Process:
        """One more dispatcher, started."""
        number = len(self.dispatchers) + 1
        command = [sys.executable, "-m", "renderfarm.cli", "dispatcher"]
        made = self._process(f"dispatcher-{number}", command, lambda _: self._listeners() >= number)
        self.dispatchers.append(made)
        made.start(**armed)
        return made

    def add_worker(self, queue: str, command: Sequence[str] = (), **armed: str) -> Process:
        """One more worker of the queue, started; ``command`` stands in for the usual one."""
        name = f"{queue}-{sum(each.name.startswith(f'{queue}-') for each in self.workers) + 1}"
        ready = f" {queue} - ready: queue"
        made = self._process(
            name, command or self._worker_command(queue), lambda process: ready in process.text
        )
        self.workers.append(made)
        made.start(**armed)
        return made

    def add_api(self, **armed: str) -> Process:
        """The ingress, started; ``client`` speaks to it."""
        port = int(self.settings.public_url.rpartition(":")[2])
        command = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn_conf", "api:create_app()"]
        self.api = self._process("api", command, lambda _: self._takes_requests())
        self.api.environ["FARM_API_BIND"] = f"127.0.0.1:{port}"
        self.api.start(**armed)
        return self.api

    @cached_property
    def client(self) -> Client:
        """The way to the ingress, with a key of the farm's account."""
        with self.database.begin() as session:
            _, secret = accounts.create_key(session, self.account_id)
        return Client(self.settings.public_url, secret)

    def wait_ready(self, seconds: float = 90) -> None:
        """Wait until every process that should run is of use."""
        for process in self.processes:
            if process.wanted:
                process.wait_ready(seconds)

    def tend(self) -> None:
        """Start again what should run and has died, as a supervisor does, without what it was armed with."""
        for process in self.processes:
            if process.wanted and not process.alive:
                process.start()

    def worker_of(self, unit_id: str) -> Process | None:
        """The process that works on the unit, or did so last."""
        with self.database.begin() as session:
            name = session.scalar(select(Unit.worker).where(Unit.id == unit_id)) or ""
        return next((each for each in self.workers if f":{self.queue(each)}-{each.pid}-" in name), None)

    @staticmethod
    def queue(worker: Process) -> str:
        """The queue that a worker serves."""
        return worker.name.rpartition("-")[0]

    def submit(
        self, clip: Path | None = None, *, picture: Path | None = None, account_id: str = "", **changed: Any
    ) -> str:
        """A new job, as the ingress submits it; its id. ``changed`` are fields of ``jobs.NewJob``."""
        account_id = account_id or self.account_id
        inputs = {name: f"in/{account_id}/{new_id('file')}" for name in ("picture", "video")}
        with self.database.begin() as session:
            garbage.throw(session, self.settings, inputs.values(), 3600)
        self.store.put(inputs["picture"], picture or self.ground.picture)
        self.store.put(inputs["video"], clip or self.ground.clip)
        return self.submit_rows(clip, account_id=account_id, inputs=inputs, **changed)

    def submit_rows(self, clip: Path | None = None, *, account_id: str = "", **changed: Any) -> str:
        """A new job of which only the rows are there, to be counted rather than drawn; its id."""
        mode = changed.get("mode", "full_pipeline")
        given: dict[str, Any] = {
            "spec": RenderSpec(),
            "plan": replace(plan_for(Model.V4, engine=self.settings.engine_of(Model.V4)), **SHORT),
            "video": self.judged(clip or self.ground.clip).video,
            "source": self.judged(clip or self.ground.clip).source,
            "inputs": {"picture": "in/nobody/picture", "video": "in/nobody/video"},
            "mode": mode,
            "credits": CREDITS * prices.least(mode),
        }
        new = jobs.NewJob(**{**given, **changed})
        with self.database.begin() as session:
            return jobs.submit(session, self.settings, account_id or self.account_id, new).id

    def cancel(self, job_id: str) -> None:
        """End the job; raises ``FarmError`` where it has ended."""
        with self.database.begin() as session:
            owner = session.get_one(Job, job_id).account_id
            jobs.cancel(session, owner, job_id, self.settings)

    def job(self, job_id: str) -> Job:
        """The job as it is now."""
        with self.database.begin() as session:
            return session.get_one(Job, job_id)

    def units(self, job_id: str) -> dict[str, Unit]:
        """The job's units, by what follows its id in theirs (``segment:0``)."""
        with self.database.begin() as session:
            rows = session.scalars(select(Unit).where(Unit.job_id == job_id))
            return {unit.id.partition(":")[2]: unit for unit in rows}

    def statuses(self, job_ids: Sequence[str]) -> dict[str, str]:
        """The status of each job."""
        with self.database.begin() as session:
            rows = session.execute(select(Job.id, Job.status).where(Job.id.in_(job_ids)))
            return {job_id: status for job_id, status in rows}

    def wait_ended(self, job_ids: Sequence[str], seconds: float = 60) -> dict[str, str]:
        """How each job ended; what dies meanwhile is started again. Raises ``InVain``."""

        def ended() -> dict[str, str]:
            self.tend()
            found = self.statuses(job_ids)
            return found if len(found) == len(job_ids) and set(found.values()) <= FINAL else {}

        return until(ended, seconds, "jobs to end") if job_ids else {}

    def wait_drawing(self, job_id: str, unit: str = "segment:0", seconds: float = 60) -> Process:
        """Wait until some frames of the job's unit are drawn, or all; the worker that draws it."""
        unit_id = f"{job_id}:{unit}"

        def drawn() -> Process | None:
            with self.database.begin() as session:
                found = session.get(Unit, unit_id)
                if found is None or not (found.status == "done" or found.attempt_done):
                    return None
            return self.worker_of(unit_id)

        return until(drawn, seconds, f"{unit} to be drawn")

    def broker(self) -> Any:
        """A connection to the farm's Redis."""
        import redis

        return redis.Redis.from_url(self.settings.redis_url, socket_timeout=5)

    def logs(self) -> str:
        """Everything that the processes have logged."""
        paths = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(f"== {path.stem}\n{path.read_text(errors='replace')}" for path in paths)

    def close(self) -> None:
        """End every process and remove all that the farm had."""
        for process in self.processes:
            process.destroy()
        until(lambda: not _killed(str(self.folder)), 20, "the end of every process")
        self.database.close()
        if not self.ground.postgres.alive:
            self.ground.postgres.start()
        self.ground.postgres.resume()
        self.ground.postgres.wait_ready()
        self.ground.drop(self.settings.database_url)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _process(self, name: str, command: Sequence[str], ready: Callable[[Process], bool]) -> Process:
        (logs := self.folder / "logs").mkdir(exist_ok=True)
        return Process(name, command, self._environ, logs / f"{name}.log", ready=ready)

    def judged(self, clip: Path) -> media.JudgedVideo:
        """What the ingress would say of the clip."""
        if clip not in self._clips:
            here = FileStore(clip.parent, Public(""))
            self._clips[clip] = media.judge_video(self.settings, here, clip.name)
        return self._clips[clip]

    def _account(self) -> str:
        with self.database.begin() as session:
            account = accounts.create_account(session, "trial")
            credits.grant(session, account.id, 1_000_000)
            return account.id

    def _takes_requests(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.settings.public_url}/readyz", timeout=5):
                return True
        except OSError:
            return False

    def _listeners(self) -> int:
        """How many dispatchers listen for work."""
        listening = "datname = current_database() AND query LIKE 'LISTEN%'"
        with self.database.begin() as session:
            return session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {listening}")) or 0


def _killed(mark: str) -> list[psutil.Process]:
    """Kill what is marked so; what there was."""
    found = members(mark)
    for each in found:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    return found


def _variables(settings: Settings) -> dict[str, str]:
    """The settings as an environment; what is at its default or empty is left out."""
    default = Settings(database_url="")
    return {
        variable_of(field.name): str(value)
        for field in fields(settings)
        if (value := getattr(settings, field.name)) != getattr(default, field.name)
    }
