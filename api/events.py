"""A job as it changes: server-sent events, for whoever would ask again and again."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from api.auth import SIGHT, require_sight
from api.context import Farm, farm
from api.operation import JOB, operation
from api.schemas import JobAnswer
from api.watching import State, Watch
from renderfarm import public, views
from renderfarm.errors import FarmError
from renderfarm.models import FINAL

blueprint = Blueprint("events", __name__, url_prefix="/api/render")

#: Seconds of silence after which a stream says that it is still there: what lies between may cut it off.
_QUIET = 15.0
#: Milliseconds after which a client whose stream has ended comes back.
_RETRY = 2000
_LAST_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The `id` of the last event that was seen. After the last one of a job there is no more.",
}


@blueprint.get("/<job_id>/events")
@operation(
    path=JOB,
    answers="text/event-stream",
    also={204: ("The job's last event was seen: there is no more.", None)},
    headers=(_LAST_ID,),
    codes=SIGHT,
)
def stream(job_id: str) -> Response:
    """A job as server-sent events: `job`, a JobAnswer each, at once, whenever it changes, and as it ended.

    The data is one line of what ``GET /api/render/{job_id}`` answers. A change of nothing but the time that
    is left is no event.
    """
    here = farm()
    require_sight(job_id)
    job = views.view(here.database, job_id)
    if job is None:
        raise FarmError("CS-UORC01-110")
    last = _Number.read(request.headers.get("Last-Event-ID", ""))
    if last.is_end and job.status in FINAL:
        return Response(status=204)  # which is how a browser learns not to come back
    response = Response(mimetype="text/event-stream")
    # No cache keeps it, and nginx passes it on as it comes.
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    if request.method != "HEAD":
        state = public.state_of(job, here.places.place(here.database, job))
        watch = here.watching.watch(job_id, request.remote_addr or "")
        # Not left to the generator alone: one that was never begun is closed without a word.
        response.call_on_close(watch.close)
        peer = request.environ.get("gunicorn.socket")
        response.response = _events(here, watch, peer, state, last)
    return response


@dataclass(frozen=True, slots=True)
class _Number:
    """An event's id: greater than those before it, over all processes, and odd for a job's last one."""

    value: int

    @classmethod
    def read(cls, text: str) -> _Number:
        """The number that a client has seen; 0 for what is none."""
        return cls(int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0)

    @property
    def is_end(self) -> bool:
        return self.value % 2 == 1

    def next(self, is_end: bool) -> _Number:
        """The number of what is told now: milliseconds, twice."""
        return _Number(2 * max(self.value // 2 + 1, time.time_ns() // 1_000_000) + is_end)


def _events(
    here: Farm, watch: Watch, peer: socket.socket | None, state: State | None, number: _Number
) -> Iterator[str]:
    """The stream, from the state in which it found the job; at its end its place is free."""
    ends = time.monotonic() + here.settings.event_stream_seconds
    told: dict[str, Any] = {}
    with closing(watch):
        yield f"retry: {_RETRY}\n\n"
        spoke = time.monotonic()
        while time.monotonic() < ends and watch.goes_on and not _has_gone(peer):
            if state is not None and (telling := _telling(state)) != told:
                is_end = state["status"] in FINAL
                number, told, spoke = number.next(is_end), telling, time.monotonic()
                shown = JobAnswer.model_validate(public.addressed(state, here.storage.link))
                yield f"event: job\nid: {number.value}\ndata: {shown.model_dump_json()}\n\n"
                if is_end:
                    return
            elif time.monotonic() - spoke >= _QUIET:
                spoke = time.monotonic()
                yield ": keep-alive\n\n"
            state = watch.next()


def _telling(state: State) -> dict[str, Any]:
    """What makes an event where it changes: the time that is left does at every look."""
    return {**state, "progress": {**state["progress"], "eta_seconds": None}}


def _has_gone(peer: socket.socket | None) -> bool:
    """Whether the client has hung up: a write would tell only after the next one."""
    if peer is None:
        return False
    try:
        return not peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
