"""What each stage takes and gives."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pipeline.spec import NEEDS, Background, Model, RenderSpec, Span, Stage, VideoInfo, divide, plan_for
from pipeline.units import inputs_of, items_of, spans_of

VIDEO = VideoInfo(320, 180, Fraction(30), 700, has_sound=True, codec="h264")
PLAN = plan_for(Model.V4)
EVERYTHING = [
    *("picture", "video", "character", "tracks", "plate", "piece-0000", "matte-0000", "matte-0001"),
    *("sample-0000", "segment-0000", "mask-0000"),
]


@pytest.mark.parametrize(
    ("stage", "inputs"),
    [
        (Stage.REFERENCE, ("picture",)),
        (Stage.ANALYSE, ("video",)),
        (Stage.JOIN, ("piece-0000",)),
        (Stage.SAMPLE, ("matte-0000", "matte-0001", "tracks", "video")),
        (Stage.PLATE, ("sample-0000", "tracks")),
        (Stage.SEGMENT, ("character", "matte-0000", "matte-0001", "plate", "tracks", "video")),
        (Stage.STITCH, ("mask-0000", "segment-0000", "video")),
    ],
)
def test_a_stage_reads_what_it_needs_and_no_more(stage: Stage, inputs: tuple[str, ...]) -> None:
    assert inputs_of(stage, EVERYTHING) == inputs


def test_only_pieces_and_segments_are_worked_on_span_by_span() -> None:
    assert spans_of(Stage.ANALYSE, PLAN, VIDEO, ()) == PLAN.pieces(700)
    assert spans_of(Stage.SEGMENT, PLAN, VIDEO, [100]) == PLAN.segments(700, (100,))
    assert spans_of(Stage.SAMPLE, PLAN, VIDEO, [100]) == PLAN.pieces(700)
    for stage in set(NEEDS) - {Stage.ANALYSE, Stage.SAMPLE, Stage.SEGMENT}:
        assert spans_of(stage, PLAN, VIDEO, [100]) == ()


def test_a_transparent_segment_has_its_mask() -> None:
    plain, transparent = RenderSpec(), RenderSpec(background=Background.TRANSPARENT)
    assert items_of(Stage.SEGMENT, plain, Span(3, 0, 1)) == ("segment-0003",)
    assert items_of(Stage.SEGMENT, transparent, Span(3, 0, 1)) == ("segment-0003", "mask-0003")


def test_a_piece_has_its_joints_and_its_matte() -> None:
    assert items_of(Stage.ANALYSE, RenderSpec(), Span(12, 0, 1)) == ("piece-0012", "matte-0012")


@pytest.mark.parametrize("workers", [1, 2, 4, 8, 16])
def test_half_a_minute_is_shared_evenly_by_workers(workers: int) -> None:
    spans = PLAN.segments(900, ())
    assert len(spans) % workers == 0
    assert max(map(len, spans)) - min(map(len, spans)) <= 1


@pytest.mark.parametrize("frames", [1, 2, 59, 60, 61, 300, 901, 17_999, 20_000])
def test_spans_are_even_and_no_longer_than_they_may_be(frames: int) -> None:
    spans = divide(7, 7 + frames, 60)
    assert [span.start for span in spans[1:]] == [span.stop for span in spans[:-1]]
    assert (spans[0].start, spans[-1].stop) == (7, 7 + frames)
    assert min(map(len, spans)) >= 1
    assert max(map(len, spans)) - min(map(len, spans)) <= 1
    assert max(map(len, spans)) <= 60


def test_a_stage_without_spans_has_no_items() -> None:
    with pytest.raises(ValueError, match="join has no spans"):
        items_of(Stage.JOIN, RenderSpec(), Span(0, 0, 1))
