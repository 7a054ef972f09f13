"""What goes over the wire comes out as it went in, and nothing else comes out."""

from __future__ import annotations

import pytest

from pipeline.protocol import Done, Event, Failed, Item, Progress, dump_event, load_event


@pytest.mark.parametrize(
    "event",
    [
        Progress(3, 10),
        Item(2, {"segment-0002": "out/segment-0002.mp4"}),
        Done({"tracks": "tracks.npz"}, {"cuts": [1, 2], "people": ["Zo\u00eb \U0001f600"]}),
        Failed("CS-ORIV-007", "The file\nis broken.", False),
    ],
)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    line = dump_event(event)
    assert "\n" not in line
    assert load_event(line) == event


@pytest.mark.parametrize(
    "line",
    [
        "Loading weights: 100%",
        "[]",
        "[" * 100_000,
        '{"event": "nothing"}',
        '{"event": "progress", "done": 1}',
        '{"event": "progress", "done": "1", "total": 2}',
        '{"event": "progress", "done": true, "total": 2}',
        '{"event": "progress", "done": -1, "total": 2}',
        '{"event": "progress", "done": 1e400, "total": 2}',
        '{"event": "progress", "done": 99999999999999999999, "total": 2}',
        '{"event": "item", "index": 0.5, "files": {}}',
        '{"event": "item", "index": 0, "files": {"segment-0000": 1}}',
        '{"event": "done", "files": {}, "facts": []}',
        '{"event": "done", "files": {}, "facts": {"cuts": [NaN]}}',
        '{"event": "done", "files": {}, "facts": {"far": -Infinity}}',
        '{"event": "done", "files": {}, "facts": {"far": 1e400}}',
        '{"event": "done", "files": {}, "facts": {"people": ["\\u0000"]}}',
        '{"event": "done", "files": {}, "facts": {"\\ud800": 1}}',
        '{"event": "failed", "code": "CS", "message": null, "retryable": true}',
    ],
)
def test_what_is_none_or_no_row_could_keep_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        load_event(line)


def test_a_number_that_is_none_is_not_even_written() -> None:
    with pytest.raises(ValueError):
        dump_event(Done({}, {"far": float("inf")}))
