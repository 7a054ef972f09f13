"""Webhooks as rows: who is told what, how often it is tried, and what the log says."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update

from pipeline.spec import Background
from renderfarm import delivery, endpoints, webhooks
from renderfarm.cdn import Public
from renderfarm.delivery import WAITS, Full, Message, Outcome, Reply
from renderfarm.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from renderfarm.storage import open_storage
from renderfarm.sweep import Sweeper
from tests.renderfarm.farm import Farm

URL = "https://studio.example/hooks"
TAKEN = Reply(204, 12)
DOWN = Reply(500, 12, None)


@pytest.fixture
def account(farm: Farm) -> str:
    return farm.account()


def tell(farm: Farm, account: str, url: str = URL) -> WebhookEndpoint:
    with farm.database.begin() as session:
        return endpoints.add(session, account, url)


def log_of(farm: Farm, job_id: str) -> list[WebhookDelivery]:
    """The job's deliveries, in the order of its events."""
    with farm.database.begin() as session:
        return sorted(webhooks.deliveries(session, job_id=job_id), key=lambda one: (one.sequence, one.url))


def attempts_of(farm: Farm, delivery_id: str) -> list[WebhookAttempt]:
    with farm.database.begin() as session:
        return webhooks.attempts(session, delivery_id)


def claimed(farm: Farm, full: Full = Full()) -> Message | None:  # noqa: B008 - frozen
    with farm.database.begin() as session:
        return delivery.claim(session, farm.settings, full)


def take(farm: Farm) -> Message:
    message = claimed(farm)
    assert message is not None
    return message


def answer(farm: Farm, message: Message, reply: Reply) -> Outcome:
    with farm.database.begin() as session:
        return delivery.record(session, farm.settings, message, reply)


def due_now(farm: Farm) -> None:
    """The clock moves on to the next attempt at everything."""
    with farm.database.begin() as session:
        pending = update(WebhookDelivery).where(WebhookDelivery.next_attempt_at.is_not(None))
        session.execute(pending.values(next_attempt_at=WebhookDelivery.created_at))


def test_an_account_without_webhooks_has_no_rows(farm: Farm, account: str) -> None:
    job_id = farm.submit(account)
    farm.do_all(job_id)
    assert log_of(farm, job_id) == []
    assert claimed(farm) is None


def test_each_status_of_a_job_is_told_once_with_the_job_as_it_was_then(farm: Farm, account: str) -> None:
    tell(farm, account)
    job_id = farm.submit(account, background=Background.TRANSPARENT)
    farm.do_all(job_id)
    began, ended = log_of(farm, job_id)
    assert (began.type, ended.type) == ("job.processing", "job.complete")
    assert began.sequence < ended.sequence
    assert (began.state["status"], began.state["cdn_url"]) == ("processing", None)
    assert (ended.state["status"], ended.state["progress_pct"]) == ("complete", 100)
    assert ended.state["started_at"] <= ended.state["completed_at"]

    bodies = [json.loads(take(farm).body(Public("https://cdn").link)) for _ in range(2)]
    whole = next(body for body in bodies if body["type"] == "job.complete")
    assert set(whole) == {"type", "timestamp", "data"}
    assert whole["data"]["sequence"] == ended.sequence
    for field, name in (("cdn_url", "output"), ("mask_cdn_url", "mask"), ("result_url", "output")):
        assert whole["data"][field] == f"https://cdn/out/{job_id}/{name}"


def test_a_failure_and_a_cancel_are_told_with_their_codes(farm: Farm, account: str) -> None:
    tell(farm, account)
    failed, cancelled = farm.submit(account), farm.submit(account)
    farm.fail(farm.take(f"{failed}:reference:0"), "CS-UORC01-102", retryable=False)
    farm.cancel(account, cancelled)
    assert [one.type for one in log_of(farm, failed)] == ["job.processing", "job.failed"]
    assert log_of(farm, failed)[-1].state["error_code"] == "CS-UORC01-102"
    (only,) = log_of(farm, cancelled)
    assert (only.type, only.state["error_code"]) == ("job.cancelled", "CS-UORC01-105")


def test_a_jobs_own_address_is_told_besides_the_accounts_and_signed_by_the_accounts_secret(
    farm: Farm, account: str
) -> None:
    tell(farm, account)
    job_id = farm.submit(account, webhook_url="http://Else.example:8000/a?b")
    farm.cancel(account, job_id)
    own, general = log_of(farm, job_id)
    assert (own.url, own.host) == ("http://Else.example:8000/a?b", "else.example:8000")
    assert (general.url, general.host) == (URL, "studio.example:443")
    with farm.database.begin() as session:
        secrets = {own.url: endpoints.own(session, account).secret, URL: tell(farm, account).secret}
    for _ in range(2):
        message = take(farm)
        assert message.secrets == [secrets[message.url]]
    assert len(set(secrets.values())) == 2


def test_nobody_is_told_of_another_accounts_jobs(farm: Farm, account: str) -> None:
    tell(farm, account)
    other = farm.account()
    job_id = farm.submit(other)
    farm.cancel(other, job_id)
    assert log_of(farm, job_id) == []


def test_what_is_in_one_couriers_hands_is_in_no_others_until_its_lease_ends(farm: Farm, account: str) -> None:
    tell(farm, account)
    farm.cancel(account, farm.submit(account))
    first = take(farm)
    assert claimed(farm) is None
    due_now(farm)  # it died, and its lease ran out
    second = take(farm)
    assert (second.id, second.body(str)) == (first.id, first.body(str))
    assert answer(farm, first, DOWN) is Outcome.STALE
    assert answer(farm, second, TAKEN) is Outcome.DELIVERED
    assert claimed(farm) is None


def test_a_host_or_an_account_that_has_its_share_is_passed_over(farm: Farm, account: str) -> None:
    tell(farm, account)
    farm.cancel(account, farm.submit(account))
    here = "studio.example:443"
    assert claimed(farm, Full(hosts=[here])) is None
    assert claimed(farm, Full(accounts=[account])) is None
    assert claimed(farm, Full(pairs=[(account, here)])) is None
    others = Full(
        ["other.example:443"], ["acct_other"], [("acct_other", here), (account, "other.example:443")]
    )
    assert claimed(farm, others) is not None


def test_it_is_tried_for_a_day_with_growing_waits_and_then_given_up(farm: Farm, account: str) -> None:
    tell(farm, account)
    job_id = farm.submit(account)
    farm.cancel(account, job_id)
    for number, wait in enumerate(WAITS, 1):
        message = take(farm)
        assert answer(farm, message, DOWN) is Outcome.RETRY
        (row,) = log_of(farm, job_id)
        assert row.next_attempt_at is not None
        at = attempts_of(farm, row.id)[-1].at
        assert 0.8 * wait <= (row.next_attempt_at - at).total_seconds() <= 1.2 * wait
        assert (row.failures, message.attempt) == (number, number)
        due_now(farm)
    assert 22 * 3600 < sum(WAITS) < 26 * 3600
    assert answer(farm, take(farm), DOWN) is Outcome.GIVEN_UP
    (row,) = log_of(farm, job_id)
    assert row.given_up_at is not None
    assert (row.next_attempt_at, row.last_status) == (None, 500)
    assert len(attempts_of(farm, row.id)) == len(WAITS) + 1


def test_a_receiver_may_ask_for_more_time_but_not_for_less(farm: Farm, account: str) -> None:
    tell(farm, account)
    job_id = farm.submit(account)
    farm.cancel(account, job_id)
    for asked, least, most in ((100.0, 100, 100), (0.0, 24, 36), (24 * 3600.0, 3600 + 96, 3600 + 144)):
        message = take(farm)
        answer(farm, message, Reply(503, 1, retry_after=asked))
        (row,) = log_of(farm, job_id)
        assert row.next_attempt_at is not None
        assert least <= (row.next_attempt_at - attempts_of(farm, row.id)[-1].at).total_seconds() <= most
        due_now(farm)


def test_an_endpoint_that_is_gone_is_told_nothing_more_until_it_is_added_again(
    farm: Farm, account: str
) -> None:
    made = tell(farm, account)
    waits, asks = farm.submit(account), farm.submit(account)
    farm.cancel(account, waits)
    farm.cancel(account, asks)
    assert answer(farm, take(farm), Reply(410, 1)) is Outcome.GIVEN_UP
    assert [one.given_up_at is not None for job in (waits, asks) for one in log_of(farm, job)] == [True, True]
    silent = farm.submit(account)
    farm.cancel(account, silent)
    assert log_of(farm, silent) == []
    assert resent(farm, job_id=waits) == []
    again = tell(farm, account)
    assert (again.id, again.secret, again.disabled_at) == (made.id, made.secret, None)
    assert len(resent(farm, job_id=waits)) == 1


def test_an_address_of_one_job_that_is_gone_silences_no_other_job(farm: Farm, account: str) -> None:
    gone, there = (farm.submit(account, webhook_url=f"https://{name}.example/") for name in ("gone", "there"))
    farm.cancel(account, gone)
    assert answer(farm, take(farm), Reply(410, 1)) is Outcome.GIVEN_UP
    farm.cancel(account, there)
    assert take(farm).url == "https://there.example/"


def resent(farm: Farm, delivery_id: str | None = None, job_id: str | None = None) -> list[str]:
    with farm.database.begin() as session:
        return webhooks.resend(session, delivery_id, job_id)


def test_what_was_delivered_or_given_up_can_be_sent_again_under_the_same_id(farm: Farm, account: str) -> None:
    tell(farm, account)
    job_id = farm.submit(account)
    farm.do_all(job_id)
    messages = [take(farm), take(farm)]
    for message in messages:
        answer(farm, message, TAKEN)
    assert resent(farm, messages[0].id) == [messages[0].id]
    again = take(farm)
    assert (again.id, again.attempt, again.body(str)) == (messages[0].id, 2, messages[0].body(str))
    answer(farm, again, TAKEN)
    assert resent(farm, job_id=job_id) == sorted(message.id for message in messages)
    assert resent(farm, "msg_none") == []


def test_while_its_secret_changes_both_sign_and_later_the_new_one_alone(farm: Farm, account: str) -> None:
    made = tell(farm, account)
    farm.cancel(account, farm.submit(account))
    with farm.database.begin() as session:
        changed = endpoints.rotate(session, farm.settings, made.id)
    assert changed is not None
    assert take(farm).secrets == [changed.secret, made.secret]
    with farm.database.begin() as session:
        session.get_one(WebhookEndpoint, made.id).previous_until = made.created_at
    due_now(farm)
    assert take(farm).secrets == [changed.secret]


def test_what_is_on_its_way_to_a_removed_endpoint_is_dropped(farm: Farm, account: str) -> None:
    made = tell(farm, account)
    job_id = farm.submit(account)
    farm.cancel(account, job_id)
    in_hand = take(farm)
    with farm.database.begin() as session:
        assert endpoints.remove(session, made.id)
        assert not endpoints.remove(session, made.id)
        assert not endpoints.remove(session, endpoints.own(session, account).id)
    assert answer(farm, in_hand, TAKEN) is Outcome.STALE
    assert log_of(farm, job_id) == []


def test_the_log_is_dropped_when_it_is_old_and_only_where_it_has_ended(farm: Farm, account: str) -> None:
    tell(farm, account)
    jobs = [farm.submit(account) for _ in range(3)]
    for job_id in jobs:
        farm.cancel(account, job_id)
    old, fresh = take(farm), take(farm)
    for message in (old, fresh):
        answer(farm, message, TAKEN)
    with farm.database.begin() as session:
        long_ago = log_of(farm, jobs[0])[0].created_at.replace(year=2020)
        for message_id in (old.id, take(farm).id):
            session.get_one(WebhookDelivery, message_id).created_at = long_ago
    sweeper = Sweeper(farm.settings, farm.database, open_storage(farm.settings))
    assert sweeper.forget_webhooks() == 1
    with farm.database.begin() as session:
        left = {one.id for one in webhooks.deliveries(session, account)}
    assert len(left) == 2
    assert old.id not in left
    assert attempts_of(farm, old.id) == []
