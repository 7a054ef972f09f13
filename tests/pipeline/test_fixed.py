"""The fixed engine: every stage for real, in hardly any time, and without the heavy libraries."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.choice import Fixed
from pipeline.errors import EngineError
from pipeline.ffmpeg import probe, read_frames
from pipeline.fixed import STAGES
from pipeline.protocol import Item, Progress, Request
from pipeline.render import stages_of
from pipeline.spec import CHARACTER, SCENE, Background, Model, Plan, RenderSpec, Span, Stage, plan_for
from pipeline.stages import run
from pipeline.units import files_of, inputs_of
from tests.clips import make_clip, make_picture

FIXED = Fixed(ms=0)


def plan_of(fixed: Fixed) -> Plan:
    return replace(plan_for(Model.V4, engine=fixed.id), piece_frames=12, segment_frames=7)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("media")
    return make_picture(folder / "picture.png"), make_clip(folder / "video.mp4", seconds=2)


def made_of(
    media: tuple[Path, Path], folder: Path, fixed: Fixed = FIXED, spec: RenderSpec | None = None
) -> dict[str, Path]:
    """All files of a whole render."""
    folder.mkdir()
    spec, files = spec or RenderSpec(), {"picture": media[0], "video": media[1]}
    stages = stages_of([media[0]], media[1], spec, folder, run=partial(run, fixed=fixed), plan=plan_of(fixed))
    for stage, made, _ in stages:
        assert set(files_of(stage, spec)) <= set(made)
        files |= made
    return files


def bytes_of(files: dict[str, Path]) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files.items()}


def test_it_has_every_stage_but_those_that_draw_nothing() -> None:
    assert set(STAGES) == set(Stage) - {Stage.FETCH, Stage.STITCH}


def test_its_video_has_the_drivers_frames_and_sound_and_the_same_bytes_every_time(
    media: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = (made_of(media, tmp_path / name) for name in ("first", "second"))
    assert bytes_of(first) == bytes_of(second)
    made, driver = probe(first["output"]), probe(media[1])
    assert replace(made, codec="") == replace(driver, codec="")
    assert made.has_sound


def test_segments_in_any_order_and_company_are_the_same(media: tuple[Path, Path], tmp_path: Path) -> None:
    files = made_of(media, tmp_path / "whole")
    info, plan = probe(media[1]), plan_of(FIXED)
    inputs = {name: files[name] for name in inputs_of(Stage.SEGMENT, files)}
    for span in reversed(plan.segments(info.frames, ())):
        request = Request(Stage.SEGMENT, RenderSpec(), plan, tmp_path, inputs, info, (span,))
        run(request, lambda _: None, FIXED)
        name = f"segment-{span.index:04}"
        assert (tmp_path / f"{name}.mp4").read_bytes() == files[name].read_bytes()


def test_its_mark_shows_in_every_frame(media: tuple[Path, Path], tmp_path: Path) -> None:
    frames = []
    for mark in ("a", "b"):
        output = made_of(media, tmp_path / mark, Fixed(ms=0, mark=mark))["output"]
        frames.append(np.stack(list(read_frames(output, probe(output)))).astype(int))
    assert (np.abs(frames[0] - frames[1]).mean(axis=(1, 2, 3)) > 4).all()


def test_a_transparent_background_gets_its_mask(media: tuple[Path, Path], tmp_path: Path) -> None:
    spec = RenderSpec(background=Background.TRANSPARENT)
    mask = made_of(media, tmp_path / "made", spec=spec)["mask"]
    frame = next(read_frames(mask, probe(mask)))
    assert 0.01 < (frame > 127).mean() < 0.5


def test_frames_are_counted_over_all_spans_and_come_no_earlier_than_they_may(
    media: tuple[Path, Path], tmp_path: Path
) -> None:
    files, info, fixed = made_of(media, tmp_path / "made"), probe(media[1]), Fixed(ms=30)
    inputs = {name: files[name] for name in inputs_of(Stage.SEGMENT, files)}
    spans, seen = (Span(3, 0, 4), Span(5, 4, 6)), []
    request = Request(Stage.SEGMENT, RenderSpec(), plan_of(fixed), tmp_path, inputs, info, spans)
    begun = time.monotonic()
    run(request, seen.append, fixed)
    assert time.monotonic() - begun >= 6 * 0.03
    done = [event.done for event in seen if isinstance(event, Progress)]
    assert done == [1, 2, 3, 4, 5, 6]
    assert [event.index for event in seen if isinstance(event, Item)] == [3, 5]


@pytest.mark.parametrize("other", [None, Fixed(ms=5), Fixed(ms=0, mark="b")])
def test_a_plan_that_is_pinned_to_it_is_refused_by_all_that_are_told_otherwise(
    tmp_path: Path, other: Fixed | None
) -> None:
    request = Request(Stage.JOIN, RenderSpec(), plan_of(FIXED), tmp_path)
    with pytest.raises(EngineError, match=r"pinned to engine fixed/1\+ms=0"):
        run(request, lambda _: None, other)


def test_stitching_is_done_by_a_process_of_any_engine_but_of_no_other_plan(
    media: tuple[Path, Path], tmp_path: Path
) -> None:
    files, info = made_of(media, tmp_path / "made"), probe(media[1])
    inputs = {name: files[name] for name in inputs_of(Stage.STITCH, files)}
    request = Request(Stage.STITCH, RenderSpec(), plan_of(FIXED), tmp_path, inputs, info)
    made = run(request, lambda _: None)
    assert Path(made.files["output"]).read_bytes() == files["output"].read_bytes()
    with pytest.raises(EngineError, match="pinned to plan 0"):
        run(replace(request, plan=replace(request.plan, version="0")), lambda _: None)


def test_the_process_that_draws_loads_none_of_the_heavy_libraries(
    media: tuple[Path, Path], tmp_path: Path
) -> None:
    program = """
import sys
from pathlib import Path
import pipeline.__main__, pipeline.serve
from tests.pipeline.test_fixed import made_of
made_of((Path(sys.argv[1]), Path(sys.argv[2])), Path(sys.argv[3]))
print(*sorted({"torch", "torchvision", "mediapipe", "cv2", "scipy"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", program, *map(str, media), str(tmp_path / "made")]
    assert subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split() == []


def test_a_character_and_a_scene_are_known_by_small_pictures(
    media: tuple[Path, Path], tmp_path: Path
) -> None:
    picture, video = media
    drawn = partial(run, fixed=FIXED)
    made: dict[str, set[str]] = {}
    for name, stages, pictures in (("character", CHARACTER, [picture]), ("scene", SCENE, [])):
        (folder := tmp_path / name).mkdir()
        options = {"run": drawn, "plan": plan_of(FIXED), "stages": stages}
        *_, (last, files, _) = stages_of(pictures, video, RenderSpec(), folder, **options)
        assert last is Stage.PORTRAIT
        made[name] = set(files)
        for path in files.values():
            with Image.open(path) as image:
                assert (image.format, max(image.size) <= 512) == ("JPEG", True)
    assert made == {"character": {"thumbnail"}, "scene": {"thumbnail", "portrait-0000"}}
