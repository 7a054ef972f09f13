"""A worker knows when it no longer consumes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.waiting import until
from workers import presence
from workers.presence import Ear


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushall()
        yield broker


@pytest.fixture
def ear(redis_url: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    monkeypatch.setattr(presence, "DEAF_SECONDS", 0.1)
    ear = Ear(redis_url, "v4", busy=lambda: False)
    yield ear
    ear.close()


def test_an_idle_worker_past_which_a_message_waits_is_deaf(broker: redis.Redis, ear: Ear) -> None:
    assert not ear.is_deaf()
    broker.lpush("v4", "message")
    assert not ear.is_deaf()
    until(ear.is_deaf)
    broker.rpop("v4")
    assert not ear.is_deaf()


def test_a_worker_is_not_deaf_while_others_take_the_messages(broker: redis.Redis, ear: Ear) -> None:
    broker.lpush("v4", "message 0")
    for number in range(1, 30):
        broker.lpush("v4", f"message {number}")
        assert not ear.is_deaf()
        broker.rpop("v4")


def test_a_busy_worker_may_let_messages_wait(redis_url: str, broker: redis.Redis, ear: Ear) -> None:
    broker.lpush("v4", "message")
    busy = Ear(redis_url, "v4", busy=lambda: True)
    until(ear.is_deaf)
    assert not busy.is_deaf()
    busy.close()


def test_a_broker_that_is_away_makes_nobody_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "DEAF_SECONDS", 0.0)
    ear = Ear("redis://127.0.0.1:1/0", "v4", busy=lambda: False)
    assert not ear.is_deaf()
    ear.close()
