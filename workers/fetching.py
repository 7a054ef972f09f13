"""What users have us fetch: from their addresses into the store, judged like what they send themselves."""

from __future__ import annotations

import logging
import time

from renderfarm import crash, leases, media, moderation
from renderfarm.arrivals import Arrived
from renderfarm.db import new_id
from renderfarm.fetch import Guarded
from renderfarm.leases import Claim
from renderfarm.models import JobKind
from renderfarm.storage import Writer
from workers.attempt import Attempt, Tools
from workers.heart import Reason, Stopped
from workers.transfer import patiently

log = logging.getLogger(__name__)

_JUDGES = {"picture": media.judge_picture_head, "video": media.judge_video_head}
#: What the fields are called that bring these files.
_FIELDS = {
    JobKind.RENDER: {"picture": "ref_image", "video": "driving_video"},
    JobKind.CHARACTER: {"picture": "image"},
    JobKind.SCENE: {"video": "video"},
}


def fetch(claim: Claim, attempt: Attempt, tools: Tools) -> Arrived:
    """Store what is behind the claim's addresses, and find it fit.

    Its files are garbage until ``arrivals.take_in``. Raises ``Stopped``, ``StorageError``, and
    ``FarmError`` with the code that the same files would have been refused with at the door, -014 where
    they cannot be had.
    """
    keys = {role: f"in/{claim.account_id}/{new_id('file')}" for role in claim.urls}
    digests = {role: _stored(claim, attempt, tools, role, key) for role, key in keys.items()}
    video = None
    with attempt.moving():
        if "picture" in keys:
            media.judge_picture(tools.settings, tools.storage, keys["picture"])
        if "video" in keys:
            video = media.judge_video(tools.settings, tools.storage, keys["video"])
        attempt.tick()
        _moderate(claim, keys, digests, tools)
    if video is None:
        return Arrived(keys)
    return Arrived(keys, video.video, video.notes, video.source)


def _stored(claim: Claim, attempt: Attempt, tools: Tools, role: str, key: str) -> str:
    """Fetch one file into the store; its SHA-256."""
    settings, url = tools.settings, claim.urls[role]
    promised_at = float("-inf")

    def promise() -> None:
        """Keep what is there from the sweeper, however slow the host is."""
        nonlocal promised_at
        if time.monotonic() - promised_at > settings.garbage_seconds / 2:
            if not attempt.record(lambda session: leases.promise(session, settings, claim, key)):
                raise Stopped(Reason.LOST)
            promised_at = time.monotonic()

    promise()
    limit, guarded = settings.max_upload_mb << 20, Guarded(settings)
    before = limit * list(claim.urls).index(role)

    def bring() -> str:
        with tools.storage.writer(key) as out:
            arriving = _Arriving(role, out)

            def tick() -> None:
                attempt.tick()
                promise()
                attempt.advance(before + out.size, limit * len(claim.urls))

            def take(data: bytes) -> None:
                arriving.write(data)
                crash.here(settings, crash.Point.STORING, claim.stage)

            guarded.fetch(url, take, limit, tick)
            arriving.judge()
            return out.commit().sha256

    sha256 = patiently(bring, attempt.tick)
    log.info("fetched the %s", role)
    crash.here(settings, crash.Point.STORED, claim.stage)
    return sha256


class _Arriving:
    """A file on its way into the store, judged by its first bytes as soon as they are there."""

    def __init__(self, role: str, out: Writer) -> None:
        self._judge = _JUDGES[role]
        self._out = out
        self._head = b""
        self._judged = False

    def write(self, data: bytes) -> None:
        if not self._judged:
            self._head += data[: media.HEAD_BYTES - len(self._head)]
            if len(self._head) == media.HEAD_BYTES:
                self.judge()
        self._out.write(data)

    def judge(self) -> None:
        """Judge what there is, unless that was done: the file may be shorter than a head."""
        if not self._judged:
            self._judge(self._head)
            self._judged = True


def _moderate(claim: Claim, keys: dict[str, str], digests: dict[str, str], tools: Tools) -> None:
    """Have the files judged that were not there when the request was."""
    fields = _FIELDS[claim.kind]
    asked = moderation.Request(
        account_id=claim.account_id,
        kind=claim.kind.value,
        model=claim.spec.model.value,
        mode=claim.mode,
        sha256={fields[role]: digest for role, digest in digests.items()},
        keys={fields[role]: key for role, key in keys.items()},
        fields={f"{fields[role]}_url": url for role, url in claim.urls.items()},
    )
    moderation.moderate(tools.settings, asked)
