"""What a probe found out goes with the video, and is the same where it arrives."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline.ffmpeg import known, probe, read_frames
from pipeline.ffmpeg.probe import inspect, remember
from pipeline.spec import Span

DRIVER = Path(__file__).parents[2] / "samples" / "driver.mp4"


def test_it_comes_out_as_it_went_in_and_is_short() -> None:
    source = inspect(DRIVER)
    text = known.dumps(source)
    again = known.loads(text)
    assert len(text) < 2000
    assert np.array_equal(again.timeline.times, source.timeline.times)
    assert np.array_equal(again.timeline.keys, source.timeline.keys)
    assert (again.info, again.picture, again.sound) == (source.info, source.picture, source.sound)
    plain = [{**asdict(one), "timeline": None} for one in (again, source)]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"info": 1}', known.dumps(inspect(DRIVER))[:-9]])
def test_what_another_version_wrote_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        known.loads(text)


def test_a_file_that_somebody_told_of_is_read_without_another_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = known.loads(known.dumps(inspect(DRIVER)))
    copy = Path(shutil.copy(DRIVER, tmp_path / "video"))
    span = Span(0, 20, 24)
    frames = list(read_frames(DRIVER, source.info, span))
    looks = sys.modules["pipeline.ffmpeg.probe"]  # its package has a function of that name
    monkeypatch.setattr(looks, "_inspect", lambda *_: pytest.fail("it was looked through"))
    remember(copy, source)
    assert probe(copy) == source.info
    assert all(
        np.array_equal(one, other)
        for one, other in zip(read_frames(copy, source.info, span), frames, strict=True)
    )


def test_a_file_that_has_changed_since_is_looked_through(tmp_path: Path) -> None:
    copy = Path(shutil.copy(DRIVER, tmp_path / "video"))
    remember(copy, inspect(DRIVER))
    copy.write_bytes(b"no video any more")
    with pytest.raises(Exception, match="not an MP4"):
        probe(copy)
