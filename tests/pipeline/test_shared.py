"""Work that is shared makes the same files: whoever does a span, in whatever order, on however many cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.protocol import Done, Report, Request
from pipeline.render import stages_of
from pipeline.samples import Scene, make_character, make_driver
from pipeline.spec import Model, RenderSpec, plan_for
from pipeline.stages import run

MODELS = [Model.V3, Model.V4]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("media")
    make_character(folder / "character.png", width=350, height=550)
    make_driver(folder / "driver.mp4", Scene(width=480, height=270, seconds=0.75, rate=Fraction(12)))
    return folder / "character.png", folder / "driver.mp4"


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Threads and programs that are started within have these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def one_by_one(request: Request, report: Report) -> Done:
    """The last span first, each in a request of its own, and on the first core alone."""
    with on_cores({min(os.sched_getaffinity(0))}):
        if not request.spans:
            return run(request, report)
        for span in reversed(request.spans):
            out = request.out / str(span.index)
            out.mkdir()
            run(replace(request, spans=(span,), out=out), report)
    return Done()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
@pytest.mark.parametrize("model", MODELS)
def test_every_file_is_the_same_however_the_work_is_shared(
    model: Model, media: tuple[Path, Path], tmp_path: Path
) -> None:
    plan = replace(plan_for(model), piece_frames=6, segment_frames=3)
    made = []
    for name, way in (("together", run), ("shared", one_by_one)):
        (tmp_path / name).mkdir()
        stages = stages_of([media[0]], media[1], RenderSpec(model), tmp_path / name, run=way, plan=plan)
        made.append({file: path.read_bytes() for _, files, _ in stages for file, path in files.items()})
    together, shared = made
    assert {"piece-0001", "matte-0001", "sample-0001", "segment-0003", "plate", "output"} <= together.keys()
    assert [name for name in together if together[name] != shared[name]] == []
    assert together.keys() == shared.keys()
