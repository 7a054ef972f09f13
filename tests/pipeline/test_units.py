"""What each stage takes and gives."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pipeline.spec import NEEDS, Background, Model, RenderSpec, Span, Stage, VideoInfo, plan_for
from pipeline.units import inputs_of, items_of, spans_of

VIDEO = VideoInfo(320, 180, Fraction(30), 700, has_sound=True, codec="h264")
PLAN = plan_for(Model.V4)
EVERYTHING = [
    *("picture", "video", "character", "tracks", "plate", "piece-0000", "matte-0000", "matte-0001"),
    *("segment-0000", "mask-0000"),
]


@pytest.mark.parametrize(
    ("stage", "inputs"),
    [
        (Stage.REFERENCE, ("picture",)),
        (Stage.ANALYSE, ("video",)),
        (Stage.JOIN, ("piece-0000",)),
        (Stage.PLATE, ("matte-0000", "matte-0001", "tracks", "video")),
        (Stage.SEGMENT, ("character", "matte-0000", "matte-0001", "plate", "tracks", "video")),
        (Stage.STITCH, ("mask-0000", "segment-0000", "video")),
    ],
)
def test_a_stage_reads_what_it_needs_and_no_more(stage: Stage, inputs: tuple[str, ...]) -> None:
    assert inputs_of(stage, EVERYTHING) == inputs


def test_only_pieces_and_segments_are_worked_on_span_by_span() -> None:
    assert spans_of(Stage.ANALYSE, PLAN, VIDEO, ()) == PLAN.pieces(700)
    assert spans_of(Stage.SEGMENT, PLAN, VIDEO, [100]) == PLAN.segments(700, (100,))
    for stage in set(NEEDS) - {Stage.ANALYSE, Stage.SEGMENT}:
        assert spans_of(stage, PLAN, VIDEO, [100]) == ()


def test_a_transparent_segment_has_its_mask() -> None:
    plain, transparent = RenderSpec(), RenderSpec(background=Background.TRANSPARENT)
    assert items_of(Stage.SEGMENT, plain, Span(3, 0, 1)) == ("segment-0003",)
    assert items_of(Stage.SEGMENT, transparent, Span(3, 0, 1)) == ("segment-0003", "mask-0003")


def test_a_piece_has_its_joints_and_its_matte() -> None:
    assert items_of(Stage.ANALYSE, RenderSpec(), Span(12, 0, 1)) == ("piece-0012", "matte-0012")


def test_a_stage_without_spans_has_no_items() -> None:
    with pytest.raises(ValueError, match="join has no spans"):
        items_of(Stage.JOIN, RenderSpec(), Span(0, 0, 1))
