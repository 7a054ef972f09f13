"""Lines of a log: what they carry, that they stay lines, and that no secret is in them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from renderfarm import context, logs
from renderfarm.settings import Settings, SettingsError

KNOWN = 's3"cret/of\\a bucket'
#: Whatever a name, a header or a stage's complaint may hold to end a line, or to be none.
HOSTILE = "a\nb\r\nc\x0b\x0c\x1b[2J\x85\u2028\u2029\u202e\x00\udcff\ud800 \x7f ü"


@pytest.fixture
def log() -> Callable[[str], tuple[logging.Logger, io.StringIO]]:
    """A logger that writes as a process does, in a format."""

    def open_(format: str) -> tuple[logging.Logger, io.StringIO]:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        settings = Settings(database_url="none", s3_secret_key=KNOWN, log_format=format)
        handler.setFormatter(logs.formatter(settings, "v4-1-a"))
        # In nobody's list: what these tests say, no report of them could carry.
        logger = logging.Logger(f"tests.{format}", logging.DEBUG)
        logger.addHandler(handler)
        return logger, stream

    return open_


def one(stream: io.StringIO) -> str:
    """The one line that was written, as a terminal, a file and a collector see it."""
    written = stream.getvalue()
    assert written.endswith("\n") and len(written.splitlines()) == 1, repr(written)
    written.encode()
    return written[:-1]


def parsed(stream: io.StringIO) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(one(stream))
    return found


def test_a_line_says_when_who_and_what_it_is_about(log: Any) -> None:
    logger, text = log("text")
    with context.about(request="r-1", account=None), context.about(unit="job_x:plate:0", attempt=2):
        logger.info("drawn %d", 3)
    when, level, *rest = one(text).split()
    assert when.endswith("Z") and when[10] == "T" and level == "INFO"
    assert " ".join(rest[1:]) == "tests.text: drawn 3 [request=r-1 unit=job_x:plate:0#2]"
    assert rest[0].startswith("v4-1-a[")


def test_a_line_of_json_has_each_of_them_by_its_name(log: Any) -> None:
    logger, text = log("json")
    with context.about(request="r-1", attempt=2):
        logger.warning("slow", extra={"fields": {"seconds": 1.5}})
    said = parsed(text)
    assert said["time"].endswith("Z") and isinstance(said["pid"], int)
    assert {key: said[key] for key in said if key not in ("time", "pid")} == {
        **{"level": "WARNING", "logger": "tests.json", "process": "v4-1-a", "message": "slow"},
        **{"request": "r-1", "attempt": 2, "seconds": 1.5},
    }


@pytest.mark.parametrize("format", ["text", "json"])
def test_nothing_that_is_said_ends_a_line_or_moves_a_cursor(log: Any, format: str) -> None:
    logger, text = log(format)
    with context.about(request=HOSTILE):
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logger.exception("of %s", HOSTILE, extra={"fields": {"route": HOSTILE}})
    assert one(text).isprintable()


def test_what_is_said_in_json_is_whole(log: Any) -> None:
    logger, text = log("json")
    logger.error("of %s", HOSTILE)
    assert parsed(text)["message"] == f"of {HOSTILE}"


@pytest.mark.parametrize("format", ["text", "json"])
def test_ten_megabytes_are_cut(log: Any, format: str) -> None:
    logger, text = log(format)
    try:
        raise ValueError("\0" * 10_000_000 + "the end")
    except ValueError:
        logger.exception("x" * 10_000_000)
    assert len(one(text)) < 60_000
    assert "the end" in text.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_secret_is_in_a_line_wherever_it_came_from(log: Any, format: str) -> None:
    logger, text = log(format)
    try:
        try:
            raise KeyError("whsec_c2VjcmV0")
        except KeyError as cause:
            raise ValueError(f'"AWS_SECRET_ACCESS_KEY": "aB+/c", kept with {KNOWN}') from cause
    except ValueError:
        with context.about(request="sk-inthecontext"):
            logger.exception('the key "sk-secret", then %s', KNOWN, extra={"fields": {"at": "://u:pw@h"}})
    line = one(text)
    secrets = ("c2VjcmV0", "aB+/c", "cret/of", "inthecontext", "sk-secret", "pw@")
    assert [secret for secret in secrets if secret in line] == [], line
    if format == "json":
        assert parsed(text)["message"] == 'the key "sk-***", then ***'


def test_a_line_that_cannot_be_made_is_said_as_it_is() -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "of %d", ("sk-secret",), None)
    line = logs.formatter(Settings(database_url="none"), "v4").format(record)
    assert line.endswith("x: of %d % ('sk-***',)")


def test_what_one_request_left_is_not_said_of_the_next() -> None:
    first = context.begin(request="first")
    context.note(account="of the first")
    second = context.begin(request="second")  # whoever should have ended the first has not
    assert context.current() == {"request": "second"}
    context.end(second)
    context.end(first)
    context.note(account="nobody's")
    assert context.current() == {}


def test_a_unit_is_said_by_all_threads_of_its_worker_until_its_end() -> None:
    seen: list[dict[str, object]] = []

    def look() -> None:
        thread = threading.Thread(target=lambda: seen.append(context.current()))
        thread.start()
        thread.join()

    with context.all_about(unit="u", request=None):
        look()
    look()
    assert seen == [{"unit": "u"}, {}]


@pytest.mark.parametrize(
    "sent", ["", None, "a b", "a\nb", "a" * 65, "ü", '"', "a;b", "$(x)", "a\r\nSet-Cookie: x"]
)
def test_an_id_that_is_not_fit_for_a_log_is_replaced(sent: str | None) -> None:
    made = context.accepted(sent)
    assert made != sent and len(made) == 32 and made != context.accepted(sent)


@pytest.mark.parametrize("sent", ["a" * 64, "Root=1-67891233-abcdef012345678912345678", "a.b_c:d/e+f="])
def test_an_id_that_is_fit_is_kept(sent: str) -> None:
    assert context.accepted(sent) == sent


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="FARM_LOG_FORMAT"):
        Settings(database_url="none", log_format="xml")


def test_traces_without_what_makes_them_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)  # as if it were not installed
    assert Settings(database_url="none").otlp_endpoint == ""
    with pytest.raises(SettingsError, match=r"renderfarm\[otel\]"):
        Settings(database_url="none", otlp_endpoint="http://127.0.0.1:4318")


def test_without_an_endpoint_nothing_of_traces_is_imported() -> None:
    code = """if True:
        import sys
        from renderfarm import tracing
        from renderfarm.settings import Settings
        tracing.start(Settings(database_url="none"), "x")
        with tracing.span("x", under="00-1-1-01") as span:
            print(span, tracing.here(), [name for name in sys.modules if "opentelemetry" in name])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None None []\n"


def test_what_a_process_its_threads_and_its_children_say_and_die_of_are_lines_too() -> None:
    code = """if True:
        import os, threading, warnings, logging
        from renderfarm import context, logs
        from renderfarm.settings import Settings
        logs.configure(Settings(database_url="none", log_format="json"), "x")
        warnings.warn("careful")
        thread = threading.Thread(target=lambda: 1 / 0, name="divides")
        thread.start(); thread.join()
        with context.about(request="r-1"):
            if os.fork() == 0:
                logging.getLogger("child").info("after the fork")
                os._exit(0)
            os.wait()
        raise SystemError("sk-secret")
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path.cwd(), capture_output=True, text=True, check=False
    )
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in said] == ["WARNING", "ERROR", "INFO", "CRITICAL"]
    assert "careful" in said[0]["message"] and "ZeroDivisionError" in said[1]["exception"]
    assert said[2]["request"] == "r-1" and said[2]["pid"] != said[3]["pid"]
    assert "sk-***" in said[3]["exception"] and done.returncode == 1


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_links_are_signed_with_and_their_signatures_are_not_written(format: str) -> None:
    signs, purges, pem = (
        "linksign-01234567",
        "purging-01234567",
        "-----BEGIN PRIVATE KEY-----\nMIIE+/=\n-----END",
    )
    settings = Settings(
        database_url="none", cdn_secret=signs, cdn_purge_secret=purges, cdn_private_key=pem, log_format=format
    )
    said = f"by {signs} and {purges}: GET /out/a?expires=1&md5=Q0x_-B, /b?Signature=C0~D&Key-Pair-Id=K; {pem}"
    line = logs.formatter(settings, "api").format(logging.LogRecord("x", 20, "", 1, said, None, None))
    assert not any(secret in line for secret in (signs, purges, "Q0x_", "C0~", "MIIE"))
    assert "expires=1&md5=***" in line
    assert "Key-Pair-Id=K" in line
