"""Secrets are blacked out of logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from renderfarm import redact
from renderfarm.local.ports import free_port
from tests.renderfarm.farm import Farm
from tests.services.hostile import names
from tests.services.processes import running
from tests.waiting import until

#: A key, the secret of a webhook, and that of a bucket, as they come in the lines of processes: as a name
#: in an address, and on a path.
SECRETS = ("sk-0123456789abcdef", "whsec_0123456789abcdef", "s3cretofabucket")


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("key sk-abc_DEF-123, given", "key sk-*** given"),
        ("Authorization: Bearer sk-abc", "Authorization: Bearer sk-***"),
        ("the secret whsec_QUJD+/x== is old", "the secret whsec_*** is old"),
        (
            "GET /b/k?X-Amz-Credential=AKIA%2F1&X-Amz-Signature=0af3&x=1",
            "GET /b/k?X-Amz-Credential=***&X-Amz-Signature=***&x=1",
        ),
        ("GET /out/j/a.mp4?expires=17&md5=aB_-c HTTP", "GET /out/j/a.mp4?expires=17&md5=*** HTTP"),
        ("/a?Expires=1&Signature=aB~-_&Key-Pair-Id=K1", "/a?Expires=1&Signature=***&Key-Pair-Id=K1"),
        ("a -----BEGIN PRIVATE KEY-----\nMIIE+/=\n-----END", "a -----BEGIN PRIVATE KEY-----***-----END"),
        ("postgresql://farm:s3cret@db:5432/farm", "postgresql://farm:***@db:5432/farm"),
        ("redis://:a&b'c!d@cache:6379/0", "redis://:***@cache:6379/0"),
        ("{'AWS_SECRET_ACCESS_KEY': 'aB+/c', 'A': 1}", "{'AWS_SECRET_ACCESS_KEY': '***', 'A': 1}"),
        ("FARM_S3_SECRET_KEY=aB+/c is set", "FARM_S3_SECRET_KEY=*** is set"),
        ("s3_secret_key is not set", "s3_secret_key is not set"),
        ("task-queue and disk-full stay", "task-queue and disk-full stay"),
        ("http://127.0.0.1:8080/x stays", "http://127.0.0.1:8080/x stays"),
    ],
)
def test_what_opens_something_is_blacked_out(line: str, left: str) -> None:
    assert redact.redact(line) == left


def environment(database_url: str, **more: str) -> dict[str, str]:
    own = {"DATABASE_URL": database_url, "FARM_S3_SECRET_KEY": SECRETS[2], "FARM_DEVELOPMENT": "1"}
    return {"PATH": os.environ["PATH"], **own, **more}


def assert_discreet(log: str, lines: int) -> None:
    """As many lines are there as held a secret, and none of them holds it now."""
    assert log.count("***") == lines, log
    assert not any(secret in log for secret in SECRETS)


def test_a_courier_logs_to_whom_it_sends_without_secrets(farm: Farm, tmp_path: Path) -> None:
    account, log = farm.account(), tmp_path / "log"
    for secret in SECRETS:
        job_id = farm.submit(account, webhook_url=f"http://{secret}.test/", price=1)
        farm.cancel(account, job_id)
    with names({}) as nobody:
        env = environment(
            farm.settings.database_url,
            FARM_STORAGE_URL=farm.settings.storage_url,
            FARM_FETCH_RESOLVER=nobody.address,
        )
        with running([sys.executable, "-m", "renderfarm.cli", "courier"], env=env, log=log):
            until(lambda: log.read_text().count("retry") == len(SECRETS))
    assert_discreet(log.read_text(), len(SECRETS))


def test_the_ingress_logs_what_failed_without_secrets(tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    env = environment(
        "postgresql://nobody@127.0.0.1:1/none",
        FARM_STORAGE_URL=f"file://{tmp_path}",
        FARM_API_BIND=f"127.0.0.1:{port}",
        FARM_API_PROCESSES="1",
    )
    command = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn_conf", "api:create_app()"]
    with running(command, env=env, log=log, port=port, stop=signal.SIGINT):  # at once
        for secret in SECRETS:
            asked = requests.get(
                f"http://127.0.0.1:{port}/api/scenes/{secret}",
                headers={"Authorization": "Bearer sk-x"},
                timeout=20,
            )
            assert asked.status_code == 503
    assert_discreet(log.read_text(), len(SECRETS))


def test_a_worker_logs_without_secrets() -> None:
    code = (
        "import logging, sys; from renderfarm.settings import Settings; from renderfarm import logs\n"
        "logs.configure(Settings.from_env(), 'v4')\n"
        "for secret in sys.argv[1:]: logging.getLogger('workers.runner').warning('it held %s', secret)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *SECRETS],
        env=environment("none", PYTHONPATH=str(Path.cwd())),
        capture_output=True,
        text=True,
        check=True,
    )
    assert_discreet(done.stderr, len(SECRETS))
