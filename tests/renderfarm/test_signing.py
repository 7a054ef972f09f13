"""Webhooks are signed as the Standard Webhooks specification says, and believed by its own library."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from renderfarm.signing import BadSignature, new_secret, sign, signed_headers, verify

#: The example of the specification's own test suite.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MSG_ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def signed(body: bytes, *secrets: str, age: float = 0) -> dict[str, str]:
    return signed_headers(secrets, "msg_1", int(time.time() - age), body)


def test_the_example_of_the_specification_comes_out() -> None:
    assert sign(SECRET, MSG_ID, TIMESTAMP, BODY) == SIGNATURE


@given(st.dictionaries(st.text(), st.text()))
def test_its_own_library_believes_what_we_sign(data: Mapping[str, str]) -> None:
    secret, body = new_secret(), json.dumps(data).encode()
    assert Webhook(secret).verify(body, signed(body, secret)) == data


def test_while_a_secret_changes_holders_of_either_believe_it() -> None:
    old, new = new_secret(), new_secret()
    headers = signed(b"{}", new, old)
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        verify([secret], headers, b"{}")
        assert Webhook(secret).verify(b"{}", headers) == {}


def test_one_of_several_known_secrets_is_enough_and_names_of_headers_are_read_in_any_case() -> None:
    secret = new_secret()
    headers = {name.title(): value for name, value in signed(b"{}", secret).items()}
    verify([new_secret(), secret], headers, b"{}")


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_what_was_changed_on_the_way_is_not_believed(changed: str) -> None:
    secret, body = new_secret(), b'{"a": 1}'
    headers = signed(body, secret, age=2)
    if changed in headers:
        headers[changed] = {"webhook-id": "msg_2", "webhook-timestamp": str(int(time.time()))}[changed]
    with pytest.raises(BadSignature):
        verify(
            [new_secret() if changed == "secret" else secret],
            headers,
            b'{"a": 2}' if changed == "body" else body,
        )


@pytest.mark.parametrize("age", [301, -301])
def test_what_was_recorded_cannot_be_sent_again_later(age: float) -> None:
    secret = new_secret()
    headers = signed(b"{}", secret, age=age + (1 if age > 0 else -1))
    with pytest.raises(BadSignature, match="too long ago"):
        verify([secret], headers, b"{}")
    verify([secret], headers, b"{}", tolerance=600)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_message_without_one_of_the_headers_is_not_believed(missing: str) -> None:
    secret = new_secret()
    headers = signed(b"{}", secret)
    del headers[missing]
    with pytest.raises(BadSignature, match=missing):
        verify([secret], headers, b"{}")


@pytest.mark.parametrize("moment", ["", "now", "-5", "1_0", "٣", "9" * 40, "1e9", " 1"])
def test_a_timestamp_that_is_no_number_of_seconds_is_not_believed(moment: str) -> None:
    secret = new_secret()
    with pytest.raises(BadSignature):
        verify([secret], {**signed(b"{}", secret), "webhook-timestamp": moment}, b"{}")


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v1,äöü", "v2,abc", "v1a,abc"])
def test_what_is_no_signature_of_ours_is_not_believed(signature: str) -> None:
    secret = new_secret()
    with pytest.raises(BadSignature):
        verify([secret], {**signed(b"{}", secret), "webhook-signature": signature}, b"{}")


@pytest.mark.parametrize("size", [23, 65, 0])
def test_a_secret_that_is_too_short_or_too_long_is_none(size: int) -> None:
    with pytest.raises(ValueError, match="24 to 64"):
        sign(f"whsec_{base64.b64encode(b'x' * size).decode()}", "msg_1", 1, b"")


def test_a_secret_that_is_not_base64_is_none() -> None:
    with pytest.raises(ValueError, match="base64"):
        sign("whsec_not base64!", "msg_1", 1, b"")
