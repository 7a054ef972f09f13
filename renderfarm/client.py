"""The farm's API, from the outside: send a render, follow it, fetch what came out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlsplit

from renderfarm.errors import TABLE

if TYPE_CHECKING:
    import requests

#: The statuses after which a job never changes.
ENDED = ("complete", "failed", "cancelled")
_TIMEOUT = (10.0, 120.0)
#: How long a farm that restarts is waited for while a job is followed.
_PATIENCE = 60.0
_POLL = 0.4
_CHUNK = 1 << 20


class ClientError(Exception):
    """The farm refused, or could not be reached; ``action`` says what to do about it."""

    def __init__(self, message: str, action: str = "", code: str = "") -> None:
        super().__init__(message)
        self.action = action
        self.code = code


class Unreachable(ClientError):
    """Nobody answers at the farm's address."""


class Client:
    """One account's way to one farm."""

    def __init__(self, url: str, key: str = "") -> None:
        import requests

        self._url = url.rstrip("/")
        self._session = requests.Session()
        if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1"):
            self._session.trust_env = False  # no proxy stands between us and ourselves
        # Not the session's: a store or a CDN must not see the key, and S3 refuses a signed address with one.
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def submit(self, picture: Path, video: Path, fields: Mapping[str, str]) -> dict[str, Any]:
        """Send a render; answers ``job_id``, ``status``, ``mode`` and ``enqueued_at``."""
        with ExitStack() as stack:
            files = {
                name: (path.name, stack.enter_context(path.open("rb")))
                for name, path in (("ref_image", picture), ("driving_video", video))
            }
            return self._json("POST", "/api/render", data=dict(fields), files=files)

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it stands."""
        return self._json("GET", f"/api/render/{job_id}")

    def jobs(self, status: str = "", limit: int = 20) -> list[dict[str, Any]]:
        """The account's jobs, newest first."""
        asked = {"limit": str(limit)} | ({"status": status} if status else {})
        return cast("list[dict[str, Any]]", self._json("GET", "/api/render", params=asked)["jobs"])

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Stop the job and give its credits back."""
        return self._json("DELETE", f"/api/render/{job_id}")

    def follow(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job again and again until it has ended; outlasts a restart of the farm."""
        answered = time.monotonic()
        while True:
            try:
                job = self.job(job_id)
            except Unreachable:
                if time.monotonic() - answered > _PATIENCE:
                    raise
            else:
                answered = time.monotonic()
                yield job
                if job["status"] in ENDED:
                    return
            time.sleep(_POLL)

    def download(self, url: str, path: Path, report: Callable[[int], None] = lambda _: None) -> None:
        """Fetch an output into ``path``, whole or not at all; ``report`` is told of each piece's bytes."""
        part = path.with_name(f".{path.name}.part")
        try:
            with self._send("GET", url, stream=True) as answer, part.open("wb") as file:
                for piece in answer.iter_content(_CHUNK):
                    report(file.write(piece))
            part.replace(path)
        except OSError as error:  # the disk's, or the connection's in the middle
            raise ClientError(f"{path} could not be fetched: {error}", f"It is still there: {url}") from error
        finally:
            if part.is_file():
                part.unlink()

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self._send(method, self._url + path, headers=self._headers, **options)
        return cast("dict[str, Any]", answer.json())

    def _send(self, method: str, url: str, **options: Any) -> requests.Response:
        import requests

        try:
            answer = self._session.request(method, url, timeout=_TIMEOUT, **options)
        except requests.RequestException as error:
            raise Unreachable(
                f"The farm does not answer at {self._url}.", "Start it with `farm up`, or set FARM_API_URL."
            ) from error
        if not answer.ok:
            raise _refusal(answer)
        return answer


def error_of(job: Mapping[str, Any]) -> ClientError | None:
    """Why an ended job has no result; None when it has one."""
    if job["status"] == "complete":
        return None
    code = job.get("error_code") or "CS-UORC01-105"
    known = TABLE.get(code)
    message = job.get("error_message") or (known.message if known else f"The job is {job['status']}.")
    return ClientError(message, known.action if known else "", code)


def _refusal(answer: requests.Response) -> ClientError:
    try:
        body = answer.json()
        detail = body.get("detail", {})
        return ClientError(
            body.get("message") or detail["message"], detail.get("action", ""), body.get("error_code", "")
        )
    except (ValueError, AttributeError, KeyError):  # not the farm's own words: a proxy's, or another server's
        return ClientError(f"{answer.request.method} {answer.url} was answered with {answer.status_code}.")
