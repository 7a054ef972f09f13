"""One request, followed through all processes: by its id in their logs, by its trace, and in Flower."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from api import create_app
from renderfarm import accounts, tracing
from renderfarm.history import history_of, jobs_of
from renderfarm.local.ports import free_port
from renderfarm.models import JobStatus
from renderfarm.settings import Settings
from tests.clips import make_clip, make_picture
from tests.services.otlp import Collector, Seen, collector
from tests.services.processes import running
from tests.waiting import until
from tests.workers.farm import Farm
from tests.workers.processes import dispatching, environment

REQUEST, TRACE, CALLER = "night-7", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
AUTH = ("farm", "secret")


@pytest.fixture
def spans() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture
def settings(settings: Settings, redis_url: str, spans: Collector) -> Settings:
    redis.Redis.from_url(redis_url).flushall()
    return replace(
        settings, redis_url=redis_url, sweep_seconds=0.2, log_format="json", otlp_endpoint=spans.url
    )


@dataclass(frozen=True)
class Followed:
    """A job that ran to its end, and where to look for it."""

    job_id: str
    headers: dict[str, str]
    folder: Path
    flower: str


@pytest.fixture
def followed(
    farm: Farm, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Followed]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    port, env = free_port(), {**environment(settings), "FLOWER_BASIC_AUTH": ":".join(AUTH)}
    flower = [sys.executable, "-m", "workers", "flower", f"--port={port}", "--url-prefix=flower"]
    tracing.start(settings, "api")
    with ExitStack() as processes:
        processes.callback(tracing.stop)
        processes.enter_context(dispatching(farm))
        for queue in ("v4", "cpu"):
            command = [sys.executable, "-m", "tests.workers.worker", queue, "draws"]
            processes.enter_context(running(command, env=env, log=tmp_path / f"{queue}.log"))
        processes.enter_context(
            running([*flower, f"--db={tmp_path / 'seen'}"], env=env, port=port, log=tmp_path / "flower.log")
        )
        until(lambda: all("ready: queue" in (tmp_path / f"{q}.log").read_text() for q in ("v4", "cpu")), 60)
        until(lambda: len(_workers(port)) == 2, 60)
        job_id, headers = _sent(farm, tmp_path)
        until(lambda: farm.job(job_id).status == JobStatus.COMPLETE, 60)
        yield Followed(job_id, headers, tmp_path, f"http://127.0.0.1:{port}/flower")


def test_a_request_is_found_in_every_log_in_one_trace_and_in_flower(
    farm: Farm, followed: Followed, spans: Collector
) -> None:
    assert followed.headers["X-Request-ID"] == REQUEST
    _look_at_rows(farm, followed.job_id)
    _look_at_logs(followed)
    _look_at_trace(spans, followed.job_id)
    _look_at_flower(followed)


def _look_at_rows(farm: Farm, job_id: str) -> None:
    with farm.database.begin() as session:
        history = history_of(session, job_id)
        [found] = jobs_of(session, REQUEST, 10)
    assert history is not None and history.request_id == REQUEST and found["job_id"] == job_id
    assert {row["outcome"] for row in history.work} == {"done"} and all(row["worker"] for row in history.work)
    assert [row["kind"] for row in history.ledger] == ["hold", "capture"]


def _look_at_logs(followed: Followed) -> None:
    units: set[str] = set()
    for queue in ("v4", "cpu"):
        lines = [json.loads(line) for line in (followed.folder / f"{queue}.log").read_text().splitlines()]
        about = [line for line in lines if line.get("job") == followed.job_id]
        assert about and {line["request"] for line in about} == {REQUEST}
        assert {line["level"] for line in lines} == {"INFO"}, "nothing was amiss"
        assert all(line["process"].startswith(f"{queue}-") for line in lines)
        units |= {line["stage"] for line in about if line["message"].startswith("done after")}
    assert {"analyse", "segment", "stitch"} <= units


def _look_at_trace(spans: Collector, job_id: str) -> None:
    def named(name: str) -> list[Seen]:
        return [span for span in list(spans.spans) if span.name == name]

    tracing.stop()
    until(lambda: named("stitch"))
    [request], [submit], [segment] = named("POST /api/render"), named("submit"), named("segment")
    assert {span.trace for span in spans.spans} == {TRACE}
    assert request.parent == CALLER and request.attributes["http.response.status_code"] == "202"
    assert submit.parent == request.id and submit.attributes["renderfarm.request"] == REQUEST
    assert segment.parent == submit.id and segment.service == "renderfarm-v4"
    assert segment.attributes["renderfarm.job"] == job_id and segment.attributes["outcome"] == "done"
    assert {span.parent for span in named("admit")} == {submit.id}
    [draw] = [span for span in named("draw") if span.parent == segment.id]
    assert any(span.parent == segment.id for span in named("fetch inputs"))
    assert any(span.parent == draw.id for span in named("upload")), "in a thread of its own"


def _look_at_flower(followed: Followed) -> None:
    def tasks() -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{followed.flower}/api/tasks", auth=AUTH, timeout=20).json()
        return {task["name"]: task for task in found.values() if followed.job_id in (task["args"] or "")}

    until(lambda: tasks().get("segment", {}).get("state") == "SUCCESS")
    shown = tasks()["segment"]
    assert f"job={followed.job_id} stage=segment unit=0 attempt=1 model=V4_Preview" in shown["args"]
    assert "account=tester (acct_" in shown["args"] and f"request={REQUEST}" in shown["args"]
    assert shown["result"] == "'done'"

    page = requests.get(f"{followed.flower}/tasks", auth=AUTH, timeout=20)
    assert page.status_code == 200
    files = re.findall(r'(?:src|href)="(/[^"]*\.(?:js|css))', page.text)
    assert files and all(file.startswith("/flower/static/") for file in files)
    root = followed.flower.removesuffix("/flower")
    assert {requests.get(f"{root}{file}", auth=AUTH, timeout=20).status_code for file in files} == {200}

    for order in ("api/task/revoke/x", "api/worker/shutdown/x", "api/worker/pool/shrink/x"):
        assert requests.post(f"{followed.flower}/{order}", auth=AUTH, timeout=20).status_code == 403
        assert requests.post(f"{followed.flower}/{order}", timeout=20).status_code == 401


def _workers(port: int) -> dict[str, Any]:
    """The workers that Flower knows: it hears what happens from then on."""
    url = f"http://127.0.0.1:{port}/flower/api/workers?refresh=1"
    found: dict[str, Any] = requests.get(url, auth=AUTH, timeout=20).json()
    return found


def _sent(farm: Farm, folder: Path) -> tuple[str, dict[str, str]]:
    """A render, sent to the ingress as a proxy sends it on; the job, and the answer's headers."""
    app = create_app(farm.settings)
    with farm.database.begin() as session:
        key = accounts.create_key(session, farm.account_id)[1]
    made = {
        "ref_image": make_picture(folder / "a.png"),
        "driving_video": make_clip(folder / "a.mp4", seconds=1.2),
    }
    files = {name: FileStorage(io.BytesIO(path.read_bytes()), path.name) for name, path in made.items()}
    boundary, body = encode_multipart(files)
    answer = app.test_client().post(
        "/api/render",
        data=body,
        content_type=f"multipart/form-data; boundary={boundary}",
        headers={
            "Authorization": f"Bearer {key}",
            "X-Request-ID": REQUEST,
            "traceparent": f"00-{TRACE}-{CALLER}-01",
        },
    )
    answer.close()
    app.extensions["farm"].database.close()
    assert answer.status_code == 202, answer.text
    return answer.get_json()["job_id"], dict(answer.headers)
