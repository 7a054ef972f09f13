"""Logs as one stream."""

from __future__ import annotations

from pathlib import Path

from renderfarm.local.logs import Follower
from tests.waiting import until


def test_only_what_is_new_is_shown_line_by_line_with_its_name(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("old\n")
    shown: list[tuple[str, str]] = []
    follower = Follower(tmp_path, lambda name, line: shown.append((name, line)))
    with log.open("a") as file:
        file.write("one\nhalf a ")
        file.flush()
        until(lambda: ("api", "one") in shown)
        file.write("line\n")
    (tmp_path / "flower.log").write_text("new file\n")
    until(lambda: len(shown) == 3)
    follower.close()
    assert shown == [("api", "one"), ("api", "half a line"), ("flower", "new file")]


def test_a_log_that_is_turned_over_is_followed(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("a long line of the old file\n")
    shown: list[str] = []
    follower = Follower(tmp_path, lambda _, line: shown.append(line))
    log.rename(tmp_path / "api.log.1")
    log.write_text("fresh\n")
    until(lambda: shown)
    follower.close()
    assert shown == ["fresh"]


def test_closing_shows_what_was_written_last_and_a_closed_pipe_is_told(tmp_path: Path) -> None:
    def nobody_reads(_name: str, _line: str) -> None:
        raise BrokenPipeError

    shown: list[str] = []
    listening, deaf = Follower(tmp_path, lambda _, line: shown.append(line)), Follower(tmp_path, nobody_reads)
    (tmp_path / "api.log").write_text("2026-01-02 03:04:05,678 INFO last words\n")
    listening.close()
    until(deaf.deaf.is_set)
    deaf.close()
    assert shown == ["INFO last words"]
    assert not listening.deaf.is_set()
