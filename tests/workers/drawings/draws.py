"""Draws: one small file for each that the stage promises, the same bytes at every try."""

import os
import sys
from pathlib import Path

from pipeline.protocol import Done, Item, Progress, Report, Request
from pipeline.serve import serve
from pipeline.spec import Background, Stage

_OUTPUTS = {
    Stage.REFERENCE: ("character.npz",),
    Stage.JOIN: ("tracks.npz",),
    Stage.PLATE: ("plate.npz",),
    Stage.STITCH: ("output.mp4", "thumbnail.jpg"),
}


def run(request: Request, report: Report, frame=lambda: None) -> Done:
    print("a library that prints, in process", os.getpid())
    done, total = 0, sum(len(span) for span in request.spans)
    for span in request.spans:
        for _ in range(len(span)):
            frame()
            done += 1
            report(Progress(done, total))
        names = [f"{name}-{span.index:04}" for name in _span_names(request)]
        report(Item(span.index, {name: _write(request, f"{name}.bin") for name in names}))
    files = {Path(name).stem: _write(request, name) for name in _OUTPUTS.get(request.stage, ())}
    return Done(files, {"cuts": [10], "people": ["person_1"]} if request.stage is Stage.JOIN else {})


def _span_names(request: Request) -> tuple[str, ...]:
    if request.stage is Stage.ANALYSE:
        return ("piece", "matte")
    if request.stage is Stage.SAMPLE:
        return ("sample",)
    return ("segment", "mask") if request.spec.background is Background.TRANSPARENT else ("segment",)


def _write(request: Request, file: str) -> str:
    seen = [f"{name}: {path.stat().st_size} bytes\n" for name, path in sorted(request.inputs.items())]
    (request.out / file).write_text(f"{request.stage} {file}\n{''.join(seen)}")
    return file


if __name__ == "__main__":
    print("ready", file=sys.stderr)
    serve(run)
