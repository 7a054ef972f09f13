"""How often one may ask: by address and by key, counted in Redis, judged before the body and the database.

The windows lie on the clock, so that what is left of one is known without asking for it: a count costs one
round trip.
Without Redis, or while it does not answer, everybody is let through.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import redis
from flask import Flask, Response, current_app, g, request
from redis.backoff import NoBackoff
from redis.retry import Retry

from api.operation import operation_of
from renderfarm.errors import FarmError
from renderfarm.settings import Settings, SettingsError

log = logging.getLogger(__name__)

#: How long an answer is waited for, and how long one that did not come is not asked for again, in seconds.
_PATIENCE = 0.1
_SHUNNED = 5.0


#: One after the other, up to the first that is over its limit. Each window's counter goes with the window.
_COUNT = """
    local counts = {}
    for number, counter in ipairs(KEYS) do
        counts[number] = redis.call('INCR', counter)
        if counts[number] == 1 then redis.call('EXPIRE', counter, ARGV[2 * number]) end
        if counts[number] > tonumber(ARGV[2 * number - 1]) then break end
    end
    return counts
    """
_RATE = re.compile(r"\s*([0-9]{1,9})\s*/\s*(second|minute|hour|day)\s*")
_WINDOWS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a window of so many seconds."""

    amount: int
    window: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """What ``600/minute`` says; ``SettingsError`` for what says nothing."""
        found = _RATE.fullmatch(text)
        if found is None:
            raise SettingsError(f"{text!r} is no rate such as 600/minute")
        return cls(int(found[1]), _WINDOWS[found[2]])


@dataclass(frozen=True, slots=True)
class Count:
    """Where one asker stands in one window."""

    name: str
    allowed: int
    #: Seconds of a whole window.
    window: int
    left: int
    #: Seconds until the next window.
    reset: int

    @property
    def exceeded(self) -> bool:
        return self.left < 0


class Limits:
    """The limits of one farm, counted over all its processes."""

    def __init__(self, settings: Settings) -> None:
        self._redis = redis.Redis.from_url(
            settings.redis_url,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        self._counted = self._redis.register_script(_COUNT)
        self._address = Rate.parse(settings.rate_limit_address)
        self._key = Rate.parse(settings.rate_limit_key)
        self._render = Rate.parse(settings.rate_limit_render)
        self._shunned_until = 0.0
        #: Whether it did not answer the last time either.
        self._away = False

    def count(self, address: str, secret: str, *, rendering: bool) -> list[Count]:
        """Count one request, in one way to Redis and back; nothing where Redis is away."""
        if time.monotonic() < self._shunned_until:
            return []
        asked = [("address", self._address, address)]
        if secret:
            # Of a key only its digest is written down; whether it is anybody's is not known yet.
            asker = hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()[:32]
            asked.append(("key", self._key, asker))
            if rendering:
                asked.append(("render", self._render, asker))
        try:
            counts = self._hit(asked)
        except redis.RedisError as error:
            self._shunned_until = time.monotonic() + _SHUNNED
            # One late answer of a busy machine is nothing to look at; a Redis that stays away is.
            level = logging.WARNING if self._away else logging.INFO
            log.log(level, "nobody's requests are counted for %.0f s: %s", _SHUNNED, error)
            self._away = True
            return []
        self._away = False
        return counts

    def _hit(self, asked: Sequence[tuple[str, Rate, str]]) -> list[Count]:
        now = time.time()
        counters = [f"limit:{name}:{asker}:{int(now // limit.window)}" for name, limit, asker in asked]
        counts = self._counted(
            keys=counters, args=[value for _, limit, _ in asked for value in (limit.amount, limit.window)]
        )
        return [
            Count(
                name,
                limit.amount,
                limit.window,
                limit.amount - count,
                int(limit.window - now % limit.window) + 1,
            )
            for (name, limit, _), count in zip(asked, counts, strict=False)
        ]


def install(app: Flask, settings: Settings) -> None:
    """Count the requests of the application, where there is a Redis to count in."""
    if settings.redis_url:
        app.extensions["limits"] = Limits(settings)
        app.before_request(_judge)
        app.after_request(_tell)


def _judge() -> None:
    """Refuse who asks too often; CS-UORC01-111."""
    declared = operation_of(current_app.view_functions.get(request.endpoint or "", _judge))
    if declared is None or not declared.limited:
        return
    scheme, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
    limits: Limits = current_app.extensions["limits"]
    g.counts = limits.count(
        request.remote_addr or "",
        secret.strip() if scheme.lower() == "bearer" else "",
        rendering=request.method == "POST",
    )
    if over := [count for count in g.counts if count.exceeded]:
        raise FarmError("CS-UORC01-111", retry_after=max(count.reset for count in over))


def _tell(response: Response) -> Response:
    """Say what is allowed and what is left (draft-ietf-httpapi-ratelimit-headers)."""
    counts: list[Count] = g.get("counts") or []
    if counts:
        allowed = (f'"{count.name}";q={count.allowed};w={count.window}' for count in counts)
        left = (f'"{count.name}";r={max(0, count.left)};t={count.reset}' for count in counts)
        response.headers["RateLimit-Policy"] = ", ".join(allowed)
        response.headers["RateLimit"] = ", ".join(left)
    return response
