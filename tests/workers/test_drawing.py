"""The process that draws: it is kept, watched, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import psutil
import pytest

from pipeline.protocol import Done, Item, Progress, Request
from pipeline.spec import Model, RenderSpec, Span, Stage, VideoInfo, plan_for
from tests.waiting import until
from tests.workers.drawings import program
from workers.drawing import Drawing, DrawingDied, DrawingHung, Patience, StageFailed, _Tail

SPANS = (Span(0, 0, 5), Span(1, 5, 10))
VIDEO = VideoInfo(320, 180, Fraction(30), 10, has_sound=False, codec="h264")


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    plan = plan_for(Model.V4)
    return Request(Stage.SEGMENT, RenderSpec(), plan, tmp_path, video=VIDEO, spans=SPANS)


@pytest.fixture
def drawing_of() -> Iterator[Callable[[str], Drawing]]:
    made: list[Drawing] = []

    def make(name: str) -> Drawing:
        made.append(Drawing(program(name)))
        return made[-1]

    yield make
    for drawing in made:
        drawing.close()


def draw(drawing: Drawing, request: Request, **patience: float) -> list[Progress | Item | Done]:
    return list(drawing.run(request, Patience(**patience), tick=lambda: None))


def test_a_request_ends_in_done_and_the_process_is_kept_for_the_next(drawing_of, request_) -> None:
    drawing = drawing_of("draws")
    events = draw(drawing, request_)
    kept = drawing.pid
    assert events[0] == Progress(1, 10)
    assert [event for event in events if isinstance(event, Item)] == [
        Item(0, {"segment-0000": "segment-0000.bin"}),
        Item(1, {"segment-0001": "segment-0001.bin"}),
    ]
    assert isinstance(events[-1], Done)
    assert draw(drawing, request_)[-1] == events[-1]
    assert kept is not None and drawing.pid == kept


def test_an_error_of_the_input_keeps_its_code_and_the_process(drawing_of, request_) -> None:
    drawing = drawing_of("no_person")
    with pytest.raises(StageFailed, match="No person was found") as caught:
        draw(drawing, request_)
    assert (caught.value.code, caught.value.retryable) == ("CS-UORC01-101", False)
    assert drawing.pid is not None


def test_a_programming_error_is_told_by_its_kind_alone_and_ends_the_process(
    drawing_of, request_, caplog: pytest.LogCaptureFixture
) -> None:
    drawing = drawing_of("raises")
    with pytest.raises(StageFailed) as caught:
        draw(drawing, request_)
    assert str(caught.value) == "The stage `segment` failed (KeyError)."
    assert (caught.value.code, caught.value.retryable) == ("CS-UORC01-103", True)
    assert "no such key" in caught.value.detail
    assert drawing.pid is None
    [said] = [record for record in caplog.records if record.name == "pipeline.serve"]
    assert (said.levelname, said.name) == ("ERROR", "pipeline.serve"), "as it said it, in the worker's log"
    assert "Traceback" in said.message and "no such key" in said.message


def test_what_it_writes_beside_events_is_logged_line_by_line_whatever_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as out:
        out.write(b"\xff\xfe no text\r\nWARNING pipeline.ffmpeg.cage: half of a")
        out.flush()
        out.write(b" line\nERROR no logger at all\n\n" + b"x" * 50_000 + b"\nWARNING a.b: the last")
    _Tail(os.fdopen(reading, "rb")).read()
    said = [(record.levelname, record.name, record.message[:30]) for record in caplog.records]
    assert said == [
        ("DEBUG", "workers.drawing", "drawing: \ufffd\ufffd no text\r"),
        ("WARNING", "pipeline.ffmpeg.cage", "half of a line"),
        ("DEBUG", "workers.drawing", "drawing: ERROR no logger at all"[:30]),
        ("DEBUG", "workers.drawing", f"drawing: {'x' * 21}"),
        ("WARNING", "a.b", "the last"),
    ]


def test_running_out_of_memory_is_said_so_and_can_be_tried_again(drawing_of, request_) -> None:
    with pytest.raises(StageFailed, match="ran out of memory") as caught:
        draw(drawing_of("eats_memory"), request_)
    assert caught.value.retryable


def test_a_process_that_exits_is_reported_with_its_last_words_and_replaced(drawing_of, request_) -> None:
    drawing = drawing_of("exits")
    for _ in range(2):
        with pytest.raises(DrawingDied, match="exited with 3") as caught:
            draw(drawing, request_)
        assert "fell off the bus" in caught.value.detail


def test_a_process_that_was_killed_between_two_requests_is_replaced_unnoticed(drawing_of, request_) -> None:
    drawing = drawing_of("draws")
    draw(drawing, request_)
    killed = psutil.Process(drawing.pid)
    killed.kill()
    until(lambda: not drawing._process.alive)  # dead, with all its threads
    assert isinstance(draw(drawing, request_)[-1], Done)
    assert drawing.pid != killed.pid


def test_one_that_was_warmed_takes_the_request(drawing_of, request_) -> None:
    drawing = drawing_of("draws")
    drawing.warm()
    warmed = drawing.pid
    assert isinstance(draw(drawing, request_)[-1], Done)
    assert drawing.pid == warmed is not None


def test_what_is_no_event_ends_the_process(drawing_of, request_) -> None:
    drawing = drawing_of("babbles")
    with pytest.raises(DrawingDied, match="no event: b'Loading weights"):
        draw(drawing, request_)
    assert drawing.pid is None


def test_one_that_repeats_itself_hangs_and_is_killed_with_its_helpers(
    drawing_of, request_, tmp_path: Path
) -> None:
    drawing = drawing_of("hangs")
    with pytest.raises(DrawingHung, match=r"no progress for 0\.3 s after frame 5"):
        draw(drawing, request_, stall=0.3)
    helper = int((tmp_path / "helper.pid").read_text())
    until(lambda: not _lives(helper))


def test_before_the_first_frame_the_limit_is_that_of_the_set_up(request_) -> None:
    with pytest.raises(DrawingHung, match=r"no progress for 0\.01 s after frame 0"):
        draw(Drawing(("sleep", "600")), request_, setup=0.01, stall=600)


def test_one_that_never_reads_a_long_request_is_not_waited_for(request_) -> None:
    longer_than_a_pipe = replace(request_, inputs={f"segment-{i:04}": Path("/" * 300) for i in range(500)})
    with pytest.raises(DrawingHung):
        draw(Drawing(("sleep", "600")), longer_than_a_pipe, setup=0.01, stall=600)


def test_what_the_tick_raises_stops_the_drawing_within_two_seconds(drawing_of, request_) -> None:
    drawing = drawing_of("slow")
    running = drawing.run(request_, Patience(), tick=stop_when(lambda: time.monotonic() > deadline))
    deadline = time.monotonic() + 1e6
    assert isinstance(next(running), Progress)
    process = psutil.Process(drawing.pid)
    deadline = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(running)
    assert time.monotonic() - deadline < 2
    assert not process.is_running()
    assert drawing.pid is None


def test_who_stops_listening_ends_the_process(drawing_of, request_) -> None:
    drawing = drawing_of("slow")
    running = drawing.run(request_, Patience(), tick=lambda: None)
    next(running)
    process = psutil.Process(drawing.pid)
    running.close()
    assert not process.is_running()


def test_it_dies_with_the_one_that_started_it(request_) -> None:
    parent_of_one = f"""
import sys
from pipeline.protocol import Request
from workers.drawing import Drawing, Patience
drawing = Drawing({program("slow")!r})
for event in drawing.run(Request.loads(sys.stdin.readline()), Patience(), lambda: None):
    print(drawing.pid, flush=True)
"""
    endless = replace(request_, spans=(Span(0, 0, 100_000),))
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_of_one], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdin and parent.stdout
        parent.stdin.write(f"{endless.dumps()}\n")
        parent.stdin.flush()
        child = int(parent.stdout.readline())
        parent.kill()
    until(lambda: not _lives(child))


def stop_when(condition: Callable[[], bool]) -> Callable[[], None]:
    def tick() -> None:
        if condition():
            raise KeyboardInterrupt

    return tick


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
