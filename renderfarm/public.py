"""A job as the outside reads it: one shape, whether somebody asks for it or it is sent to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from renderfarm.cdn import Link
from renderfarm.views import JobView

#: The fields that hold addresses of finished files, and the outputs that they lead to.
ADDRESSES = {
    "cdn_url": "output",
    "mask_cdn_url": "mask",
    "thumbnail_url": "thumbnail",
    "result_url": "output",
}


def state_of(job: JobView, place: int | None = None) -> dict[str, Any]:
    """The job's fields, ready for JSON; ``place`` is where it stands in its line, while it is queued.

    Storage keys stand where addresses belong, since an address may be good for a while only: what is
    shown or sent goes through ``addressed`` first.
    """
    progress = job.progress
    return {
        "job_id": job.id,
        "status": job.status,
        "mode": job.mode,
        "model": job.model,
        "checkpoint": job.checkpoint,
        "progress_pct": progress.pct,
        "queue_position": place,
        **{field: job.outputs.get(output) for field, output in ADDRESSES.items()},
        "error": job.error_message,
        "error_code": job.error_code,
        "error_message": job.error_message,
        "progress": {
            "stage": progress.stage,
            "done": progress.done,
            "total": progress.total,
            "pct": progress.pct,
            "eta_seconds": progress.eta_seconds,
        },
        "chunks": [],
        "notes": list(job.notes.values()),
        "credits": job.credits,
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "completed_at": moment(job.completed_at),
        "files_deleted_at": moment(job.files_deleted_at),
    }


def addressed(state: Mapping[str, Any], link: Callable[[str], Link]) -> dict[str, Any]:
    """The state with an address for each storage key, made now by ``link``, and how long they are good."""
    links = {field: link(state[field]) for field in ADDRESSES if state[field]}
    ends = [made.expires_at for made in links.values() if made.expires_at]
    return {
        **state,
        **{field: made.url for field, made in links.items()},
        "cdn_url_expires_at": moment(min(ends, default=None)),
    }


def moment(time: datetime | None) -> str | None:
    """A time in UTC, written with a ``Z``."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z") if time else None
