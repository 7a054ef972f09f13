"""The pipeline alone: all stages of a render, one after the other, in one process and one folder.

The requests are those that the farm makes, so that a picture made here is the picture made there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.ffmpeg import probe
from pipeline.protocol import Done, Item, Progress, Report, Request
from pipeline.spec import RENDER, Background, Model, Plan, RenderSpec, Stage, VideoInfo, plan_for
from pipeline.stages import run
from pipeline.units import inputs_of, numbered, spans_of

#: Does a request; ``stages.run``, or something that sends it elsewhere.
Run = Callable[[Request, Report], Done]


def render(
    pictures: Sequence[Path],
    video: Path,
    output: Path,
    spec: RenderSpec,
    report: Callable[[Stage, Progress], None] | None = None,
) -> None:
    """Write the video in which the characters of ``pictures`` perform ``video``, as ``spec`` casts them.

    A transparent background also writes its mask beside it as ``name.mask.mp4``. Raises a
    ``PipelineError``; then ``output`` is not written.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="render-") as folder:
        files: dict[str, Path] = {}
        for stage, made, _ in stages_of(pictures, video, spec, Path(folder), report=report):
            files |= made
            if stage is Stage.STITCH:
                if spec.background is Background.TRANSPARENT:
                    shutil.move(files["mask"], mask_path(output))
                # Last: where the output is, all of it is.
                shutil.move(files["output"], output)


def mask_path(output: Path) -> Path:
    """Where the mask of a transparent render goes."""
    return output.with_name(f"{output.stem}.mask.mp4")


def stages_of(
    pictures: Sequence[Path],
    video: Path,
    spec: RenderSpec,
    folder: Path,
    *,
    run: Run = run,
    report: Callable[[Stage, Progress], None] | None = None,
    plan: Plan | None = None,
    stages: Sequence[Stage] | None = None,
    known: Mapping[str, Path] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Stage, dict[str, Path], dict[str, Any]]]:
    """Do the stages in order; yields each with the files it made and its facts.

    Without ``pictures``, only the stages that look at the driving video; or only ``stages``, to which
    the files and facts of others are ``known``.
    """
    info = probe(video)
    if plan is None:
        from pipeline.plate.fillers import best_fill

        plan = plan_for(spec.model, best_fill())
    files = {"video": video} | {numbered("picture", i): picture for i, picture in enumerate(pictures)}
    files |= dict(known or {})
    facts = dict(facts or {})
    looking = (Stage.ANALYSE, Stage.JOIN, Stage.SAMPLE, Stage.PLATE)
    for stage in stages or (RENDER if pictures else looking):
        out = folder / stage.value
        out.mkdir()
        made: dict[str, Path] = {}

        def listen(event: Progress | Item, stage: Stage = stage, made: dict[str, Path] = made) -> None:
            if isinstance(event, Item):
                made |= {name: Path(path) for name, path in event.files.items()}
            elif report is not None:
                report(stage, event)

        inputs = {name: files[name] for name in inputs_of(stage, files)}
        spans = spans_of(stage, plan, info, facts.get("cuts", ()))
        done = run(Request(stage, spec, plan, out, inputs, info, spans), listen)
        made |= {name: Path(path) for name, path in done.files.items()}
        files |= made
        facts |= done.facts
        yield stage, made, dict(done.facts)


def people_in(video: Path, model: Model) -> list[dict[str, Any]]:
    """Who is in ``video``, the lead first: id, seconds seen and from when, and a box where first seen.

    The box is left, top, right, bottom in shares of the frame. Raises a ``PipelineError``.
    """
    with tempfile.TemporaryDirectory(prefix="people-") as folder:
        for stage, made, _ in stages_of((), video, RenderSpec(model), Path(folder)):
            if stage is Stage.JOIN:
                return _described(made["tracks"], probe(video))
    raise AssertionError("there is a join in every plan")


def _described(path: Path, info: VideoInfo) -> list[dict[str, Any]]:
    from pipeline.perception.bodies import box_of
    from pipeline.perception.tracks import Tracks

    rate, described = float(info.rate), []
    for person in Tracks.load(path).people:
        first = int(person.present.argmax())
        sides = zip(box_of(person.joints[first]), (info.width, info.height) * 2, strict=True)
        described.append(
            {
                "id": person.id,
                "seconds": round(float(person.present.sum()) / rate, 2),
                "from": round(first / rate, 2),
                "box": [round(min(1.0, max(0.0, edge / side)), 3) for edge, side in sides],
            }
        )
    return described
