"""The courier at work: real receivers, real rows, and processes that die at the worst moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from renderfarm import context, endpoints, views, webhooks
from renderfarm.courier import Courier
from renderfarm.fetch import Guarded
from renderfarm.models import WebhookDelivery
from renderfarm.public import addressed, state_of
from renderfarm.receiver import Received, Receiver
from renderfarm.storage import open_storage
from tests.renderfarm.farm import Farm
from tests.services.hostile import names
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


class Inbox:
    """What a receiver has got, and what it answers: the next of ``answers``, then 204."""

    def __init__(self, *answers: int) -> None:
        self.received: list[Received] = []
        self.answers = list(answers)

    def __call__(self, received: Received) -> int | None:
        self.received.append(received)
        return self.answers.pop(0) if self.answers else None

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.received]


class Slow:
    """A receiver that answers nothing of what is told of ``jobs`` until its release."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self._waiting: list[Received] = []
        self.release = threading.Event()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def __call__(self, received: Received) -> None:
        if received.data["job_id"] in self.jobs:
            self._waiting.append(received)
            self.release.wait(60)


@pytest.fixture
def account(farm: Farm) -> str:
    return farm.account()


@contextmanager
def receiving(
    farm: Farm, accounts: str | list[str], receive: Callable[[Received], int | None]
) -> Iterator[Receiver]:
    """A receiver that knows the secrets of the accounts' own addresses, ``webhook_url``."""
    with farm.database.begin() as session:
        known = [accounts] if isinstance(accounts, str) else accounts
        secrets = [endpoints.own(session, account).secret for account in known]
    with Receiver(secrets, receive) as receiver:
        yield receiver


def reaching(farm: Farm, *receivers: Receiver) -> Farm:
    """The farm, as one that may reach these receivers on this machine, and loses no time."""
    ports = ",".join(receiver.url.rstrip("/").rpartition(":")[2] for receiver in receivers)
    return farm.with_settings(
        development=True,
        fetch_private=True,
        fetch_ports=f"80,443,{ports}",
        sweep_seconds=0.05,
        webhook_patience=0.001,
        webhooks_at_once=8,
    )


@contextmanager
def courier(farm: Farm) -> Iterator[None]:
    """A courier that works for the length of the block."""
    stop = threading.Event()
    one = Courier(farm.settings, farm.database, open_storage(farm.settings), Guarded(farm.settings))
    thread = threading.Thread(target=one.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def told(farm: Farm, account: str, url: str) -> str:
    """A job that has ended, of which this address is to be told."""
    job_id = farm.submit(account, webhook_url=url, price=1)
    farm.cancel(account, job_id)
    return job_id


def log_of(farm: Farm, job_id: str) -> list[WebhookDelivery]:
    with farm.database.begin() as session:
        return sorted(webhooks.deliveries(session, job_id=job_id), key=lambda one: one.sequence)


def delivered(farm: Farm, job_id: str) -> bool:
    return all(one.delivered_at for one in log_of(farm, job_id))


def test_a_receiver_hears_of_a_jobs_whole_life_and_reads_what_a_poller_would(
    farm: Farm, account: str
) -> None:
    inbox = Inbox()
    with receiving(farm, account, inbox) as receiver, courier(farm := reaching(farm, receiver)):
        job_id = farm.submit(account, webhook_url=receiver.url)
        farm.do_all(job_id)
        until(lambda: len(inbox.received) == 2 and delivered(farm, job_id))
    first, last = sorted(inbox.received, key=lambda one: int(one.data["sequence"]))
    assert (first.type, last.type) == ("job.processing", "job.complete")
    seen = views.view(farm.database, job_id)
    assert seen is not None
    polled = addressed(state_of(seen), open_storage(farm.settings).link)
    assert {name: last.data[name] for name in polled} == polled
    assert last.data["cdn_url"].startswith("http")


def test_a_cancelled_job_is_told_and_nobody_elses(farm: Farm, account: str) -> None:
    inbox = Inbox()
    with receiving(farm, account, inbox) as receiver, courier(farm := reaching(farm, receiver)):
        other = farm.account()
        theirs = farm.submit(other)
        job_id = farm.submit(account, webhook_url=receiver.url)
        with context.about(request="night-1"):
            followed = farm.submit(account, webhook_url=receiver.url)
        for owner, one in ((other, theirs), (account, job_id), (account, followed)):
            farm.cancel(owner, one)
        until(lambda: delivered(farm, job_id) and delivered(farm, followed))
    told = {one.data["job_id"]: (one.type, one.headers.get("x-request-id")) for one in inbox.received}
    assert told == {job_id: ("job.cancelled", None), followed: ("job.cancelled", "night-1")}
    assert len(inbox.received) == 2


def test_a_receiver_that_falters_gets_the_same_message_until_it_takes_it(farm: Farm, account: str) -> None:
    inbox = Inbox(500, 500, 200)
    with receiving(farm, account, inbox) as receiver, courier(farm := reaching(farm, receiver)):
        job_id = farm.submit(account, webhook_url=receiver.url)
        farm.cancel(account, job_id)
        until(lambda: delivered(farm, job_id))
    (row,) = log_of(farm, job_id)
    assert inbox.ids == [row.id] * 3
    assert inbox.received[0].whole == inbox.received[2].whole
    with farm.database.begin() as session:
        assert [one.status for one in webhooks.attempts(session, row.id)] == [500, 500, 200]


def test_a_receiver_that_asks_for_time_gets_it(farm: Farm, account: str) -> None:
    inbox = Inbox(503)
    with receiving(farm, account, inbox) as receiver, courier(farm := reaching(farm, receiver)):
        receiver.headers = {"Retry-After": "120"}
        job_id = farm.submit(account, webhook_url=receiver.url)
        farm.cancel(account, job_id)
        until(lambda: log_of(farm, job_id)[0].failures)
        (row,) = log_of(farm, job_id)
        with farm.database.begin() as session:
            (attempt,) = webhooks.attempts(session, row.id)
        assert row.next_attempt_at is not None
        assert 119 < (row.next_attempt_at - attempt.at).total_seconds() < 121
        farm.turn_back(WebhookDelivery, row.id, "next_attempt_at", 130)
        until(lambda: delivered(farm, job_id))
    assert inbox.ids == [row.id] * 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://10.0.0.1/", "http://127.0.0.1:22/"])
def test_where_nobody_may_be_reached_nothing_is_sent_and_the_log_says_why(
    farm: Farm, account: str, url: str
) -> None:
    farm = farm.with_settings(sweep_seconds=0.05)
    job_id = farm.submit(account, webhook_url=url)
    farm.cancel(account, job_id)
    with courier(farm):
        until(lambda: log_of(farm, job_id)[0].failures)
    (row,) = log_of(farm, job_id)
    assert (row.last_status, row.delivered_at) == (None, None)
    assert row.last_error


def test_while_its_secret_changes_holders_of_either_believe_what_comes(farm: Farm, account: str) -> None:
    inbox = Inbox()
    with receiving(farm, account, inbox) as receiver, courier(farm := reaching(farm, receiver)):
        (old,) = receiver.secrets
        with farm.database.begin() as session:
            changed = endpoints.rotate(session, farm.settings, endpoints.own(session, account).id)
        assert changed is not None
        for secrets in ([old], [changed.secret]):
            receiver.secrets = secrets
            job_id = farm.submit(account, webhook_url=receiver.url)
            farm.cancel(account, job_id)
            until(lambda job_id=job_id: delivered(farm, job_id))  # type: ignore[misc]
    for received in inbox.received:
        assert len(received.headers["webhook-signature"].split()) == 2
        Webhook(old).verify(received.body, dict(received.headers))


def test_a_receiver_that_does_not_answer_holds_up_nobody_else(farm: Farm, account: str) -> None:
    slow, quick, other = Slow(), Inbox(), farm.account()
    with receiving(farm, account, slow) as stuck, receiving(farm, other, quick) as fast:
        farm = reaching(farm, stuck, fast)
        slow.jobs += [told(farm, account, stuck.url) for _ in range(10)]
        with courier(farm):
            until(lambda: slow.waiting == 4)
            job_id = told(farm, other, fast.url)
            until(lambda: delivered(farm, job_id))
            assert slow.waiting == 4
            slow.release.set()
            until(lambda: all(delivered(farm, one) for one in slow.jobs))


def test_an_account_that_fills_a_receiver_leaves_room_in_it_for_others(farm: Farm, account: str) -> None:
    slow, other = Slow(), farm.account()
    with receiving(farm, [account, other], slow) as shared:
        farm = reaching(farm, shared).with_settings(webhooks_at_once=16)
        slow.jobs += [told(farm, account, shared.url) for _ in range(10)]
        with courier(farm):
            until(lambda: slow.waiting == 4)
            job_id = told(farm, other, shared.url)
            until(lambda: delivered(farm, job_id))
            assert slow.waiting == 4
            slow.release.set()


def test_accounts_with_many_receivers_that_do_not_answer_leave_hands_for_others(
    farm: Farm, account: str
) -> None:
    slow, second, third = Slow(), farm.account(), farm.account()
    known = [f"{number}.test" for number in range(10)]
    with (
        receiving(farm, [account, second, third], slow) as receiver,
        names({name: [["127.0.0.1"]] for name in known}) as resolver,
    ):
        farm = reaching(farm, receiver).with_settings(fetch_resolver=resolver.address)
        for name, owner in product(known, (account, second)):
            slow.jobs.append(told(farm, owner, receiver.url.replace("127.0.0.1", name)))
        with courier(farm):
            until(lambda: slow.waiting == 6)  # of 8 hands
            job_id = told(farm, third, receiver.url)
            until(lambda: delivered(farm, job_id))
            assert slow.waiting == 6
            slow.release.set()


def test_a_courier_that_dies_before_it_writes_down_a_delivery_has_it_delivered_again(
    farm: Farm, account: str, tmp_path: Path
) -> None:
    inbox, token = Inbox(), tmp_path / "token"
    token.touch()
    with receiving(farm, account, inbox) as receiver:
        farm = reaching(farm, receiver)
        job_id = farm.submit(account, webhook_url=receiver.url)
        farm.cancel(account, job_id)
        environ = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": farm.settings.database_url,
            "FARM_STORAGE_URL": farm.settings.storage_url,
            "FARM_DEVELOPMENT": "1",
            "FARM_FETCH_PRIVATE": "1",
            "FARM_FETCH_PORTS": farm.settings.fetch_ports,
            "FARM_CRASH_AT": f"delivered@{token}",
        }
        command = [sys.executable, "-m", "renderfarm.cli", "courier"]
        died = subprocess.run(command, env=environ, cwd=ROOT, timeout=60, check=False, capture_output=True)
        assert died.returncode == -signal.SIGKILL
        (row,) = log_of(farm, job_id)
        assert (row.delivered_at, row.attempt) == (None, 1)
        farm.turn_back(WebhookDelivery, row.id, "next_attempt_at", 1)  # its lease ends
        with courier(farm):
            until(lambda: delivered(farm, job_id))
    assert inbox.ids == [row.id, row.id]


def test_two_couriers_share_what_is_due(farm: Farm, account: str) -> None:
    inbox = Inbox()
    with receiving(farm, account, inbox) as receiver:
        farm = reaching(farm, receiver)
        jobs = [farm.submit(account, webhook_url=receiver.url, price=1) for _ in range(20)]
        for job_id in jobs:
            farm.cancel(account, job_id)
        with courier(farm), courier(replace(farm)):
            until(lambda: all(delivered(farm, one) for one in jobs))
    assert len(inbox.ids) == len(set(inbox.ids)) == 20


def test_what_is_signed_by_nobody_known_is_not_taken(farm: Farm, account: str) -> None:
    inbox = Inbox()
    with receiving(farm, account, inbox) as receiver, courier(farm := reaching(farm, receiver)):
        receiver.secrets = []
        job_id = farm.submit(account, webhook_url=receiver.url)
        farm.cancel(account, job_id)
        until(lambda: log_of(farm, job_id)[0].last_status == 401)
    assert inbox.received == []
