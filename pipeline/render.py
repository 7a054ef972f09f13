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
from pipeline.spec import Background, Plan, RenderSpec, Stage, plan_for
from pipeline.stages import run
from pipeline.units import inputs_of, spans_of

#: Does a request; ``stages.run``, or something that sends it elsewhere.
Run = Callable[[Request, Report], Done]


def render(
    picture: Path,
    video: Path,
    output: Path,
    spec: RenderSpec,
    report: Callable[[Stage, Progress], None] | None = None,
) -> None:
    """Write the video in which the character of ``picture`` performs ``video``.

    A transparent background also writes its mask beside it as ``name.mask.mp4``. Raises a
    ``PipelineError``; then ``output`` is not written.
    """
    with tempfile.TemporaryDirectory(prefix="render-") as folder:
        files: dict[str, Path] = {}
        for stage, made, _ in stages_of(picture, video, spec, Path(folder), report=report):
            files |= made
            if stage is Stage.STITCH:
                output.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(files["output"], output)
                if spec.background is Background.TRANSPARENT:
                    shutil.move(files["mask"], mask_path(output))


def mask_path(output: Path) -> Path:
    """Where the mask of a transparent render goes."""
    return output.with_name(f"{output.stem}.mask.mp4")


def stages_of(
    picture: Path | None,
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

    Without a ``picture``, only the stages that look at the driving video; or only ``stages``, to which
    the files and facts of others are ``known``.
    """
    info, plan = probe(video), plan or plan_for(spec.model)
    files = {"video": video} | ({"picture": picture} if picture else {}) | dict(known or {})
    facts = dict(facts or {})
    looking = (Stage.ANALYSE, Stage.JOIN, Stage.PLATE)
    for stage in stages or (tuple(Stage) if picture else looking):
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
