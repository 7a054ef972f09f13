"""How fast renders of stored assets are taken, beside a bare handler that does the same in one call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.spec import Model, RenderSpec, plan_for
from renderfarm import accounts, assets, credits
from renderfarm.jobs import NewJob
from renderfarm.local.ports import answers, free_port
from renderfarm.models import JobKind
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import Ground
from renderfarm.trial.ingress import CONNECTIONS, load
from renderfarm.trial.load import Load, Spec
from renderfarm.trial.process import Process
from renderfarm.trial.speed.figure import Figure, Measured

_ACCOUNTS = 32
_WARM = 1.5
_CREDITS = 10_000_000
_BARE = Path(__file__).with_name("bare.sql")
#: A handler with nothing in it but the call: the form, the key, one statement, the answer.
_APP = """
import hashlib, os
from types import SimpleNamespace
from flask import Flask, jsonify, request
from renderfarm.db import Database, new_id

def create_app():
    app, database = Flask(__name__), Database(os.environ["DATABASE_URL"])
    app.extensions["farm"] = SimpleNamespace(watching=SimpleNamespace())  # whose server this is

    @app.post("/api/render")
    def submit():
        key = hashlib.sha256(request.headers["Authorization"][7:].encode()).hexdigest()
        job = new_id("job")
        values = [key, request.form["scene_id"], request.form["character_id"], job]
        [row] = database.read("SELECT bare_submit(%s, %s, %s, %s) AS at", values)
        return jsonify(job_id=job, status="queued", mode="preprocessed", enqueued_at=str(row["at"])), 202

    return app
"""
#: What the stages of a scene and of a character leave, as the pipeline would have made it.
_SCENE = ("tracks", "plate", "matte-0000", "matte-0001", "piece-0000", "sample-0000", "thumbnail")
_CHARACTER = ("character", "thumbnail")


def stored(ground: Ground, quick: bool, tell: Callable[[str], None]) -> Measured:
    """Rounds of the farm's ingress and of the bare handler, interleaved; many accounts, then one alone.

    On a PostgreSQL of its own that makes sure that what it commits is on the disk.
    """
    rounds, seconds = (1, 3.0) if quick else (5, 6.0)
    with (
        Ground.open(durable=True) as firm,
        Farm.open(firm, workers={}, dispatchers=0, api=True) as farm,
    ):
        orders = _orders(farm)
        bare = _bare(farm)
        own = int(farm.settings.public_url.rpartition(":")[2])
        ours: list[Load] = []
        theirs: list[Load] = []
        alone: list[Load] = []
        try:
            for number in range(rounds):
                tell(f"round {number + 1} of {rounds}")
                theirs.append(load(Spec(bare[1], CONNECTIONS, _WARM, seconds, orders)))
                ours.append(load(Spec(own, CONNECTIONS, _WARM, seconds, orders)))
                alone.append(load(Spec(own, CONNECTIONS, _WARM, seconds, orders[:1])))
        finally:
            bare[0].destroy()
        with farm.database.begin() as session:
            wrong = credits.mismatches(session)
    share = median(one.rate / other.rate for one, other in zip(ours, theirs, strict=True))
    failed = sum(each.errors for each in (*ours, *theirs, *alone)) + wrong
    return Measured(
        (
            Figure("stored renders taken, of a bare handler", share, "x", 0.6, 0.8),
            Figure("stored renders taken", median(each.rate for each in ours), "/s", 220, 350),
            Figure("one taken, p99", max(each.p99_ms for each in ours), "ms", 400, 200),
            Figure("of one account alone", median(each.rate for each in alone), "/s", 150, 300),
            Figure("orders that failed, accounts that do not add up", failed, "", 0, 0),
        ),
        {
            "bare_per_second": [each.rate for each in theirs],
            "per_second": [each.rate for each in ours],
            "alone_per_second": [each.rate for each in alone],
            "p50_ms": [each.p50_ms for each in ours],
            "bare_p99_ms": [each.p99_ms for each in theirs],
        },
    )


def _orders(farm: Farm) -> list[str]:
    """A POST of each of so many accounts, of a scene and a character of its own."""
    orders = []
    for number in range(_ACCOUNTS):
        with farm.database.begin() as session:
            account = accounts.create_account(session, f"stored-{number}")
            credits.grant(session, account.id, _CREDITS)
            secret = accounts.create_key(session, account.id)[1]
            scene = _ready(session, farm, account.id, JobKind.SCENE, _SCENE)
            character = _ready(session, farm, account.id, JobKind.CHARACTER, _CHARACTER)
        body = f"scene_id={scene}&character_id={character}"
        head = (
            f"POST /api/render HTTP/1.1\r\nHost: farm\r\nAuthorization: Bearer {secret}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        path = farm.folder / f"order-{number}"
        path.write_text(head + body)
        orders.append(str(path))
    return orders


def _ready(session: Session, farm: Farm, account_id: str, kind: JobKind, names: Sequence[str]) -> str:
    """A ready asset of the account's, of which only the rows are there."""
    like = farm.judged(farm.ground.clip)
    plan = plan_for(Model.V4, engine=farm.settings.engine_of(Model.V4))
    role = "video" if kind is JobKind.SCENE else "picture"
    new = NewJob(
        spec=RenderSpec(),
        plan=plan,
        video=like.video,
        inputs={role: f"in/{account_id}/{role}"},
        mode="full_pipeline",
        credits=0,
    )
    asset = assets.prepare(session, farm.settings, account_id, kind, kind.value, new)
    values = {"job": asset.job_id, "names": list(names), "facts": '{"cuts": [30], "people": ["person_a"]}'}
    for statement in (
        "UPDATE units SET status = 'done' WHERE job_id = :job",
        "UPDATE jobs SET status = 'complete', completed_at = now(), facts = facts || CAST(:facts AS jsonb)"
        " WHERE id = :job",
        "INSERT INTO settlements (job_id, captured, returned) VALUES (:job, 0, 0)",
        "INSERT INTO artifacts (job_id, name, unit_id, attempt, key, size, sha256)"
        " SELECT u.job_id, n, u.id, 1, 'work/' || u.job_id || '/' || n, 1000, repeat('0', 64)"
        " FROM (SELECT * FROM units WHERE job_id = :job LIMIT 1) u, unnest(CAST(:names AS text[])) n",
    ):
        session.execute(text(statement), values)
    return asset.id


def _bare(farm: Farm) -> tuple[Process, int]:
    """The bare handler, served as the farm's own ingress is; and its port."""
    with farm.database.begin() as session:
        session.connection().exec_driver_sql(_BARE.read_text())
    (farm.folder / "bare_handler.py").write_text(_APP)
    assert farm.api is not None
    port = free_port()
    environ = {**farm.api.environ, "FARM_API_BIND": f"127.0.0.1:{port}"}
    environ["PYTHONPATH"] += f":{farm.folder}"
    served = ["gunicorn", "-c", "python:api.gunicorn_conf", "bare_handler:create_app()"]
    command = [sys.executable, "-m", *served]
    process = Process("bare", command, environ, farm.folder / "bare.log", ready=lambda _: answers(port))
    process.start()
    process.wait_ready()
    return process, port
