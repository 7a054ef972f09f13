"""What each stage takes and gives, by the names that artifacts have in a job.

The farm and ``pipeline.render`` both build their requests with this, so that a render at home and
one on the farm are the same work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pipeline.spec import Background, Plan, RenderSpec, Span, Stage, VideoInfo

#: What a stage reads; a name that ends in ``-`` stands for all that start with it.
_WANTS: Mapping[Stage, tuple[str, ...]] = {
    Stage.FETCH: (),
    Stage.REFERENCE: ("picture", "picture-"),
    Stage.ANALYSE: ("video",),
    Stage.JOIN: ("piece-",),
    Stage.SAMPLE: ("video", "tracks", "matte-"),
    Stage.PLATE: ("tracks", "sample-"),
    Stage.SEGMENT: ("video", "character", "character-", "tracks", "plate", "matte-"),
    Stage.PORTRAIT: ("picture", "video", "tracks"),
    Stage.STITCH: ("video", "segment-", "mask-"),
}

#: The stages that are worked on span by span.
BY_SPANS = frozenset({Stage.ANALYSE, Stage.SAMPLE, Stage.SEGMENT})


def numbered(kind: str, number: int) -> str:
    """The name of a job's picture or character: most jobs have one, which needs no number."""
    return kind if number == 0 else f"{kind}-{number:04}"


def inputs_of(stage: Stage, names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that the stage reads, in order."""
    wants = _WANTS[stage]
    wanted = (
        name
        for name in names
        if any(name.startswith(want) if want.endswith("-") else name == want for want in wants)
    )
    return tuple(sorted(wanted))


def spans_of(stage: Stage, plan: Plan, video: VideoInfo, cuts: Iterable[int]) -> tuple[Span, ...]:
    """The pieces (ANALYSE, SAMPLE) or segments (SEGMENT) of the video; nothing for the other stages."""
    if stage in {Stage.ANALYSE, Stage.SAMPLE}:
        return plan.pieces(video.frames)
    if stage is Stage.SEGMENT:
        return plan.segments(video.frames, tuple(cuts))
    return ()


def items_of(stage: Stage, spec: RenderSpec, span: Span) -> tuple[str, ...]:
    """The artifacts that make a span finished."""
    if stage is Stage.ANALYSE:
        kinds: tuple[str, ...] = ("piece", "matte")
    elif stage is Stage.SAMPLE:
        kinds = ("sample",)
    elif stage is Stage.SEGMENT:
        kinds = ("segment", "mask") if spec.background is Background.TRANSPARENT else ("segment",)
    else:
        raise ValueError(f"{stage} has no spans")
    return tuple(f"{kind}-{span.index:04}" for kind in kinds)


def files_of(stage: Stage, spec: RenderSpec) -> tuple[str, ...]:
    """The artifacts that make a stage finished, besides those of its spans."""
    mask = ("mask",) if spec.background is Background.TRANSPARENT else ()
    gives = {
        Stage.REFERENCE: tuple(numbered("character", number) for number in spec.characters),
        Stage.JOIN: ("tracks",),
        Stage.PLATE: ("plate",),
        Stage.PORTRAIT: ("thumbnail",),
        Stage.STITCH: ("output", "thumbnail", *mask),
    }
    return gives.get(stage, ())


def missing_spans(
    stage: Stage, spec: RenderSpec, spans: Iterable[Span], there: Collection[str]
) -> tuple[Span, ...]:
    """Those of a stage's ``spans`` of which not every artifact is ``there``."""
    return tuple(span for span in spans if not all(name in there for name in items_of(stage, spec, span)))
