"""How gunicorn serves the ingress: ``gunicorn -c python:api.gunicorn_conf 'api:create_app()'``.

An entry point: besides the settings it reads FARM_API_BIND (host:port, 127.0.0.1:8080 by default).
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from gunicorn import util

from api.log import Log
from api.worker import Worker
from renderfarm import context, tracing
from renderfarm.settings import Settings

_settings = Settings.from_env()

bind = [os.environ.get("FARM_API_BIND") or "127.0.0.1:8080"]
worker_class = "api.worker.Worker"
logger_class = Log
Log.settings = _settings
workers = _settings.api_processes
#: An upload holds its thread for as long as it lasts, and so does a stream of events: these have threads of
#: their own, or a few open pages would leave none for whoever asks something.
threads = 16 + _settings.event_streams
timeout = 60
graceful_timeout = 30
keepalive = 5
loglevel = _settings.log_level.lower()
#: The heartbeat's file must not wait for a disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
# One socket in the user's home for all farms of a machine would be one too few.
control_socket_disable = True
# No header of a request says where the application is mounted.
forwarder_headers = ""
# It would wait without a limit for a reader that has stopped.
sendfile = False


def _metrics_folder() -> str:
    """A new folder that names this process; those of processes that were killed go."""
    for left in Path(tempfile.gettempdir()).glob("renderfarm-api-metrics-*-*"):
        pid = left.name.split("-")[3]
        if pid == str(os.getpid()) or (pid.isdecimal() and not psutil.pid_exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"renderfarm-api-metrics-{os.getpid()}-")


if _settings.metrics_port:
    bind.append(f"{_settings.metrics_host}:{_settings.metrics_port}")
    # Each worker counts in files of its own there; whichever is asked adds them up.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_folder()


def _refuse(connection: socket.socket, status: int, reason: str, message: str) -> None:
    """What gunicorn answers by itself, to what is no HTTP that it takes: JSON as everywhere, not HTML."""
    from api.errors import body_of
    from renderfarm.errors import FarmError

    if status == 501:
        status, reason = 400, "Bad Request"  # a transfer coding that nobody knows is the sender's fault
    refused = FarmError("CS-UORC01-002", f"The request is no HTTP that is taken here: {reason}.")
    body = body_of(refused if status < 500 else FarmError("CS-UORC01-199")).model_dump_json().encode()
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += f"{context.HEADER}: {context.request_id()}\r\n"
    util.write_nonblock(connection, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


util.write_error = _refuse  # gunicorn has no setting for it


def when_ready(server: Any) -> None:
    """Let no silent peer hold a thread for good: connections inherit the limits of their listener.

    Python's own timeouts will not do: gunicorn sets them anew for each request.
    """
    limit = struct.pack("@ll", _settings.silence_seconds, 0)
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


Worker.behind_proxies = _settings.trusted_proxies > 0


class _Paced:
    """A socket whose peer is given up where a whole body is too slow, though it is never silent for long.

    Only the time counts that is spent waiting for the peer: a slow store is none of its faults.
    """

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self._waited = 0.0
        self._came = 0

    def gettimeout(self) -> float | None:
        return self.peer.gettimeout()

    def settimeout(self, seconds: float | None) -> None:
        """Gunicorn's own bound, for a body that nobody has read."""
        self.peer.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        began = time.monotonic()
        data = self.peer.recv(size)
        self._waited += time.monotonic() - began
        self._came += len(data)
        allowed = _settings.silence_seconds + self._came / _settings.slowest_upload
        return data if self._waited < allowed else b""  # as if it had hung up


def pre_request(worker: Any, request: Any) -> None:
    """Count the time of each request's body by itself."""
    peer = request.unreader.sock
    request.unreader.sock = _Paced(peer.peer if isinstance(peer, _Paced) else peer)


def post_worker_init(worker: Any) -> None:
    """Keep out of the log a peer that was not waited for: it is no error of ours.

    And let streams end with the process: it would wait for them, and then be killed with them.
    """
    tracing.start(_settings, "api")
    worker.wsgi.extensions["farm"].watching.goes_on = lambda: worker.alive
    worker.log.error_log.addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], BlockingIOError))
    )


#: Workers that have ended, and whose files are still there.
_ended: set[int] = set()


def child_exit(server: Any, worker: Any) -> None:
    """What a worker that has ended had counted stays; its files do not, or each restart would leave some."""
    if _settings.metrics_port:
        from renderfarm.metrics.shared import SharedFolder

        _ended.add(worker.pid)
        if SharedFolder(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])).fold(_ended):
            _ended.clear()


def on_exit(server: Any) -> None:
    """Leave nothing behind."""
    if _settings.metrics_port:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
