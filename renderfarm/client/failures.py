"""Why the farm has no result to give.

ClientError         the farm refused
  Unreachable       nobody answers
  JobFailed         a job ended without a result
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from renderfarm.errors import TABLE

if TYPE_CHECKING:
    import requests

#: The statuses after which a job never changes.
ENDED = ("complete", "failed", "cancelled")


class ClientError(Exception):
    """The farm refused, or could not be reached; ``action`` says what to do about it."""

    def __init__(self, message: str, action: str = "", code: str = "") -> None:
        super().__init__(message)
        self.action = action
        self.code = code


class Unreachable(ClientError):
    """Nobody answers at the farm's address."""


class JobFailed(ClientError):
    """The job ended without a result."""


def error_of(job: Mapping[str, Any]) -> JobFailed | None:
    """Why an ended job has no result; None when it has one."""
    if job["status"] == "complete":
        return None
    code = job.get("error_code") or "CS-UORC01-105"
    known = TABLE.get(code)
    message = job.get("error_message") or (known.message if known else f"The job is {job['status']}.")
    return JobFailed(message, known.action if known else "", code)


def refusal(answer: requests.Response) -> ClientError:
    """What the farm, or whoever answers in its place, has said."""
    try:
        body = answer.json()
        detail = body.get("detail", {})
        return ClientError(
            body.get("message") or detail["message"], detail.get("action", ""), body.get("error_code", "")
        )
    except (ValueError, AttributeError, KeyError):  # not the farm's own words: a proxy's, or another server's
        return ClientError(f"{answer.request.method} {answer.url} was answered with {answer.status_code}.")
