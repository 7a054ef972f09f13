"""Secrets are blacked out of logs."""

from __future__ import annotations

import io
import logging

import pytest

from renderfarm import redact


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("key sk-abc_DEF-123, given", "key sk-*** given"),
        ("Authorization: Bearer sk-abc", "Authorization: Bearer sk-***"),
        ("the secret whsec_QUJD+/x== is old", "the secret whsec_*** is old"),
        (
            "GET /b/k?X-Amz-Credential=AKIA%2F1&X-Amz-Signature=0af3&x=1",
            "GET /b/k?X-Amz-Credential=***&X-Amz-Signature=***&x=1",
        ),
        ("postgresql://farm:s3cret@db:5432/farm", "postgresql://farm:***@db:5432/farm"),
        ("task-queue and disk-full stay", "task-queue and disk-full stay"),
        ("http://127.0.0.1:8080/x stays", "http://127.0.0.1:8080/x stays"),
    ],
)
def test_what_opens_something_is_blacked_out(line: str, left: str) -> None:
    assert redact.redact(line) == left


def test_neither_arguments_nor_tracebacks_carry_it_into_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    redact.install()
    redact.install()  # once is enough, twice does no harm
    try:
        raise ValueError("whsec_c2VjcmV0")
    except ValueError:
        root.exception("sent with %s", "sk-secret")
    assert "sent with sk-***" in stream.getvalue()
    assert "secret" not in stream.getvalue()
    assert "c2VjcmV0" not in stream.getvalue()
