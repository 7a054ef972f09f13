"""The table of public errors: code, HTTP status, message, action. One place, and a test walks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublicError:
    """One row of the table."""

    code: str
    #: HTTP status when a request is answered with it; the same errors also end jobs.
    status: int
    message: str
    action: str

    @property
    def of_the_sender(self) -> bool:
        """Whether the sender has to mend it: an answer of 4xx, but for what was here and is gone (410)."""
        return 400 <= self.status < 500 and self.status != 410


_ROWS = (
    PublicError("CS-ORAU-001", 401, "No API key was given.", "Add the header `Authorization: Bearer sk-...`."),
    PublicError("CS-ORAU-002", 401, "The API key is unknown, was revoked, or has expired.", "Check the key, or make a new one."),
    PublicError("CS-ORCR-001", 402, "The account has not enough credits.", "Top up the account, or send a shorter video."),
    PublicError("CS-ORIV-001", 400, "There is no reference image.", "Upload a picture as `ref_image`."),
    PublicError("CS-ORIV-002", 400, "There is no driving video.", "Upload a video as `driving_video`, or give a `scene_id`."),
    PublicError("CS-ORIV-003", 400, "The format of the file is not supported.", "Send the video as MP4, MOV, WebM or AVI, the picture as PNG, JPG or WebP."),
    PublicError("CS-ORIV-004", 400, "The driving video is longer than 5 minutes.", "Keep it under 5 minutes."),
    PublicError("CS-ORIV-005", 413, "The file is larger than 500 MB.", "Send a smaller file."),
    PublicError("CS-ORIV-006", 400, "The picture or video is outside the limits.", "Keep sides between 64 and 4096 pixels and the video at 0.5 seconds or longer."),
    PublicError("CS-ORIV-007", 400, "The file cannot be read as a video or image.", "Check that the file plays or opens, and export it again."),
    PublicError("CS-ORIV-008", 404, "The character was not found.", "Check the `character_id`."),
    PublicError("CS-ORIV-009", 404, "The scene was not found.", "Check the `scene_id`."),
    PublicError("CS-ORIV-010", 409, "The character or scene is not ready yet.", "Wait until its status is `ready`."),
    PublicError("CS-ORIV-011", 400, "`background_mode` or `bg_color` is invalid.", "Use original, solid or transparent, and a colour as `R,G,B` with 0-255 each."),
    PublicError("CS-ORIV-012", 400, "`character_mapping` is invalid.", 'Send JSON such as {"person_a1b2c3d4": "char_..."}.'),
    PublicError("CS-ORIV-013", 409, "The scene was preprocessed for another model.", "Leave `model` out, or preprocess the scene for this model."),
    PublicError("CS-ORIV-014", 400, "The address may not or cannot be fetched.", "Upload the file itself."),
    PublicError("CS-UORC01-001", 400, "Fast mode has no free capacity now.", "Send it with `fast=false`, or try again later."),
    PublicError("CS-UORC01-002", 400, "A parameter is invalid.", "Correct the parameter that the message names."),
    PublicError("CS-UORC01-101", 422, "No person was found in the driving video.", "Use a video in which a person can be seen clearly."),
    PublicError("CS-UORC01-102", 422, "No character was found in the picture.", "Use a picture of one character, seen from the waist up or whole."),
    PublicError("CS-UORC01-103", 500, "The engine failed.", "Send the job again; nothing was charged."),
    PublicError("CS-UORC01-104", 504, "The job took too long.", "Send the job again, or a shorter video; nothing was charged."),
    PublicError("CS-UORC01-105", 409, "The job was cancelled.", "Send it again if it was not meant to be; nothing was charged."),
    PublicError("CS-UORC01-106", 500, "The workers were lost again and again on this job.", "Send the job again later; nothing was charged."),
    PublicError("CS-UORC01-107", 500, "The job needs more memory than the workers have.", "Send a video with fewer pixels; nothing was charged."),
    PublicError("CS-UORC01-110", 404, "The job was not found.", "Check the `job_id`."),
    PublicError("CS-UORC01-111", 429, "Too many requests.", "Wait as long as `Retry-After` says."),
    PublicError("CS-UORC01-112", 409, "The job has ended.", "It can no longer be cancelled."),
    PublicError("CS-UORC01-113", 409, "The `Idempotency-Key` was used with another request.", "Use a new key, or send the same request."),
    PublicError("CS-UORC01-114", 503, "The model is not available now.", "Try again later, or use the other model."),
    PublicError("CS-UORC01-115", 404, "There is no such path, or it does not know this method.", "See `/docs` for what there is."),
    PublicError("CS-UORC01-116", 404, "The upload was not found.", "Check the `upload_id`, or send the file again."),
    PublicError("CS-UORC01-123", 409, "The upload is not complete.", "Send the parts that are missing, and complete it."),
    PublicError("CS-UORC01-121", 404, "The webhook was not found.", "See `farm webhooks list` and `farm webhooks deliveries`."),
    PublicError("CS-UORC01-118", 429, "The account has had what it may have for nothing today.", "Wait as long as `Retry-After` says; `GET /api/credits` shows what is left."),
    PublicError("CS-UORC01-119", 403, "The key may not do that.", "Use a key with the scope that the message names."),
    PublicError("CS-UORC01-117", 403, "The request was refused by moderation.", "Use another picture or video; nothing was charged."),
    PublicError("CS-UORC01-124", 409, "The job has not ended.", "Cancel it first, or wait for its end."),
    PublicError("CS-UORC01-125", 410, "A file that the job needs is not there any more.", "Send the picture and the video again, or prepare the character or scene anew; nothing was charged."),
    PublicError("CS-UORC01-122", 503, "The request could not be judged by moderation.", "Try again later; nothing was charged."),
    PublicError("CS-UORC01-120", 404, "The template was not found.", "See `GET /api/templates` for what there is."),
    PublicError("CS-UORC01-199", 500, "Something went wrong on our side.", "Try again; if it stays, send us the time and the job's id."),
)  # fmt: skip

#: Every public error by its code.
TABLE: Mapping[str, PublicError] = {row.code: row for row in _ROWS}


class FarmError(Exception):
    """A request or a job cannot go on, for a reason in the table.

    ``message`` says more than the table's own sentence where there is more to say, ``retry_after`` in how
    many seconds the same request may succeed, where that can be said.
    """

    #: Whether the same may succeed in a while, as far as is known.
    retryable = False

    def __init__(self, code: str, message: str = "", *, retry_after: int | None = None) -> None:
        self.public = TABLE[code]
        if retry_after is not None:
            self.retryable = True
        self.retry_after = retry_after
        self.message = message or self.public.message
        super().__init__(f"{code}: {self.message}")

    @property
    def code(self) -> str:
        return self.public.code
