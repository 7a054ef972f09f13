"""A real S3 server for the tests: OpenStack Swift's, started by the script beside this checkout."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from renderfarm.settings import Settings
from tests.services.debian import Unavailable, program

SCRIPT = Path(__file__).resolve().parents[3] / "shared" / "services" / "swift-s3.sh"
BUCKET = "renders"
_PACKAGES = ("swift-proxy", "swift-account", "swift-container", "swift-object", "memcached")


@dataclass(frozen=True)
class S3Server:
    """A running server with one empty bucket."""

    endpoint: str
    access_key: str = "test:tester"
    secret_key: str = "testing"

    def settings(self, **more: object) -> Settings:
        """Settings of a farm that keeps its files here."""
        values = {
            "database_url": "postgresql://nowhere",
            "storage_url": f"s3://{BUCKET}",
            "s3_endpoint": self.endpoint,
            "s3_access_key": self.access_key,
            "s3_secret_key": self.secret_key,
        }
        return Settings(**(values | more))


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A server with its data under ``folder``; raises ``Unavailable`` where none can be had."""
    _install()
    port = _five_free_ports()
    try:
        _script("start", str(folder), str(port))
        server = S3Server(f"http://127.0.0.1:{port}")
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 8}),
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield server
    finally:
        _script("stop", str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _install() -> None:
    if not SCRIPT.exists():
        raise Unavailable("the script that starts an S3 server is not beside this checkout")
    program("swift-proxy-server", *_PACKAGES, recommended=True)


def _script(*words: str) -> None:
    # Output goes to a file's end, not a pipe: the servers inherit it, and would keep a pipe open.
    with Path(os.devnull).open("w") as sink:
        subprocess.run(["bash", str(SCRIPT), *words], check=True, stdout=sink, stderr=sink, timeout=240)


def _five_free_ports() -> int:
    """The first of five neighbouring ports on which nobody listens; begun elsewhere by each process."""
    ports = range(21000, 32000, 7)
    begin = os.getpid() % len(ports)
    for first in (*ports[begin:], *ports[:begin]):
        try:
            for port in range(first, first + 5):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise Unavailable("no five neighbouring ports are free")
