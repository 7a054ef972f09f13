"""``farm webhooks`` on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from renderfarm import audit, delivery
from renderfarm.accounts import create_account
from renderfarm.cli import main
from renderfarm.cli.common import actor
from renderfarm.delivery import Reply
from renderfarm.signing import sign
from tests.renderfarm.farm import Farm

Run = Callable[..., Result]
URL = "https://studio.example/hooks"


@pytest.fixture
def run(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``farm webhooks`` with these words; it has to succeed unless ``code`` says else."""
    monkeypatch.setenv("DATABASE_URL", farm.database.url)

    def call(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["webhooks", *words])
        assert result.exit_code == code, result.output
        return result

    return call


@pytest.fixture
def ada(farm: Farm) -> str:
    return farm.account("ada")


def answer(run: Run, *words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


def test_an_endpoint_is_added_listed_given_a_new_secret_and_removed(run: Run, ada: str) -> None:
    made = answer(run, "add", URL, "--account", "ada")
    assert made["id"].startswith("whe_")
    (listed,) = answer(run, "list", "--account", "ada")
    assert (listed["id"], listed["url"]) == (made["id"], URL)
    assert "secret" not in listed
    changed = answer(run, "rotate", made["id"])
    assert changed["secret"] != made["secret"]
    assert changed["previous_until"] is not None
    run("remove", made["id"])
    assert answer(run, "list", "--account", "ada") == []


def test_only_the_secret_itself_is_on_stdout_and_it_stays_the_same(run: Run, ada: str) -> None:
    first, second = (run("secret", "ada").stdout.strip() for _ in range(2))
    assert first == second
    assert sign(first, "msg_1", 1, b"").startswith("v1,")


def test_what_was_sent_is_listed_attempt_by_attempt_and_sent_again(run: Run, farm: Farm, ada: str) -> None:
    run("add", URL, "--account", "ada")
    job_id = farm.submit(ada)
    farm.cancel(ada, job_id)
    with farm.database.begin() as session:
        message = delivery.claim(session, farm.settings)
        assert message is not None
        delivery.record(session, farm.settings, message, Reply(204, 7))
    for words in ((), ("--account", "ada"), ("--job", job_id)):
        (row,) = answer(run, "deliveries", *words)
        assert (row["id"], row["type"], row["last_status"]) == (message.id, "job.cancelled", 204)
    (attempt,) = answer(run, "deliveries", message.id)
    assert (attempt["status"], attempt["milliseconds"]) == (204, 7)
    assert answer(run, "resend", message.id) == {"resent": [message.id]}
    assert answer(run, "resend", "--job", job_id) == {"resent": [message.id]}
    assert answer(run, "deliveries")[0]["delivered_at"] is None


def test_what_an_operator_does_is_written_down_without_addresses_and_secrets(
    run: Run, farm: Farm, ada: str
) -> None:
    endpoint = answer(run, "add", f"{URL}/token", "--account", "ada")
    job_id = farm.submit(ada)
    farm.cancel(ada, job_id)
    rotated = answer(run, "rotate", endpoint["id"])
    (message_id,) = answer(run, "resend", "--job", job_id)["resent"]
    run("resend", message_id)
    run("remove", endpoint["id"])
    run("resend", message_id, code=4)
    with farm.database.begin() as session:
        entries = [one for one in audit.entries(session, ada) if one.action.startswith("webhook.")][::-1]
        assert [(one.action, one.subject) for one in entries] == [
            ("webhook.add", endpoint["id"]),
            ("webhook.rotate", endpoint["id"]),
            ("webhook.resend", job_id),
            ("webhook.resend", message_id),
            ("webhook.remove", endpoint["id"]),
        ]
        assert {one.actor for one in entries} == {actor()}
        assert entries[2].details == {"messages": [message_id]}
        written = " ".join(str(one.details) for one in entries)
    assert not any(word in written for word in ("token", endpoint["secret"], rotated["secret"]))


def test_nobody_elses_deliveries_are_listed(run: Run, farm: Farm, ada: str) -> None:
    run("add", URL, "--account", "ada")
    farm.cancel(ada, farm.submit(ada))
    with farm.database.begin() as session:
        create_account(session, "bob")
    assert answer(run, "deliveries", "--account", "bob") == []


@pytest.mark.parametrize(
    "words",
    [("remove", "whe_none"), ("rotate", "whe_none"), ("resend", "msg_none"), ("resend", "--job", "job_x")],
)
def test_what_is_not_there_is_said_to_be_not_there(run: Run, words: tuple[str, ...]) -> None:
    assert "CS-UORC01-121" in run(*words, code=4).stderr


@pytest.mark.parametrize(
    "url", ["ftp://studio.example/", "https://user@studio.example/", "http://127.0.0.1/", "x"]
)
def test_an_address_that_nothing_may_be_sent_to_is_not_taken(run: Run, ada: str, url: str) -> None:
    assert "CS-ORIV-014" in run("add", url, "--account", "ada", code=3).stderr


def test_resending_needs_one_thing_to_resend(run: Run) -> None:
    assert "either" in run("resend", code=2).stderr
