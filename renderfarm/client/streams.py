"""Server-sent events, as the farm sends them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from renderfarm.client.answers import Job
from renderfarm.client.failures import ENDED, ClientError, Unreachable

if TYPE_CHECKING:
    import requests

#: Seconds before a stream that has ended is opened again: each lasts for a while only.
_AGAIN = 0.4


def followed(connect: Callable[[str], requests.Response], patience: float) -> Iterator[Job]:
    """The job of a stream, event by event, to its end.

    ``connect`` opens the stream after the event of that id. It is opened again where it ends before the
    job does; ``Unreachable`` where nothing came for longer than ``patience``, in seconds.
    """
    last, heard = "", time.monotonic()
    while True:
        came, lost = False, Unreachable("The stream tells nothing.", "Ask for the job instead.")
        try:
            with connect(last) as answer:
                for number, job in _told(answer):
                    came, last = True, number
                    yield job
                    if job["status"] in ENDED:
                        return
        except Unreachable as error:
            lost = error
        if came:  # each stream begins with the job as it is
            heard = time.monotonic()
        if time.monotonic() - heard > patience:
            raise lost
        time.sleep(_AGAIN)


def _told(answer: requests.Response) -> Iterator[tuple[str, Job]]:
    """The events of one stream as they come: each one's id, and the job that it tells of.

    Raises ``ClientError`` for what is no stream, ``Unreachable`` where it breaks off.
    """
    import requests

    kind = answer.headers.get("Content-Type", "")
    if not kind.startswith("text/event-stream"):
        raise ClientError(f"{answer.url} is no stream of events, but {kind or 'nothing'}.")
    fields: dict[str, str] = {}
    try:
        for line in answer.iter_lines(1):  # more would be waited for where nothing says how much there is
            name, _, value = line.decode().partition(":")
            if line:
                fields[name] = value.removeprefix(" ")
            elif data := fields.pop("data", ""):
                yield fields.get("id", ""), cast("Job", json.loads(data))
    except requests.RequestException as error:
        raise Unreachable(f"The stream of {answer.url} broke off.", "Ask again.") from error
