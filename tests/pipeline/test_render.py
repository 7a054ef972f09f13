"""The whole pipeline without a farm, on a small made dancer; and the tools that look at it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.bench import bench, loop
from pipeline.errors import EngineError, NoCharacter
from pipeline.ffmpeg import probe, read_frames
from pipeline.protocol import Progress, Request
from pipeline.render import mask_path, render
from pipeline.samples import Scene, make_character, make_driver
from pipeline.sheet import make_sheet
from pipeline.spec import RENDER, Background, EngineId, Model, RenderSpec, Stage, plan_for
from pipeline.stages import run


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A character's picture and a driving video with sound."""
    folder = tmp_path_factory.mktemp("media")
    make_character(folder / "character.png", width=350, height=550)
    make_driver(folder / "driver.mp4", Scene(width=480, height=270, seconds=1.0, rate=Fraction(12)))
    return folder / "character.png", folder / "driver.mp4"


@dataclass(frozen=True)
class Rendered:
    """A finished render and what was reported on the way."""

    output: Path
    reports: list[tuple[Stage, Progress]]


@pytest.fixture(scope="module")
def rendered(media: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    made = Rendered(tmp_path_factory.mktemp("rendered") / "new" / "output.mp4", [])
    render([media[0]], media[1], made.output, RenderSpec(Model.V3), lambda *told: made.reports.append(told))
    return made


def test_a_render_has_the_drivers_frames_size_rate_and_sound(
    media: tuple[Path, Path], rendered: Rendered
) -> None:
    made, driver = probe(rendered.output), probe(media[1])
    assert replace(made, codec="") == replace(driver, codec="")
    assert made.has_sound


def test_every_stage_reports_until_all_of_it_is_done(rendered: Rendered) -> None:
    for stage in RENDER:
        events = [event for told, event in rendered.reports if told is stage]
        assert [event.done for event in events] == sorted(event.done for event in events)
        assert events[-1].done == events[-1].total


def test_a_transparent_render_has_its_mask_beside_it(media: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "output.mp4"
    render([media[0]], media[1], output, RenderSpec(Model.V4, Background.TRANSPARENT))
    mask = mask_path(output)
    assert probe(mask).frames == probe(output).frames
    picture, alpha = next(read_frames(output, probe(output))), next(read_frames(mask, probe(mask)))
    assert 0.02 < (alpha[..., 0] > 127).mean() < 0.6
    assert picture[alpha[..., 0] < 8].mean() < 8 < picture[alpha[..., 0] > 247].mean()


def test_a_failed_render_leaves_nothing(media: tuple[Path, Path], tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), (90, 120, 90)).save(tmp_path / "plain.png")
    with pytest.raises(NoCharacter):
        render([tmp_path / "plain.png"], media[1], tmp_path / "output.mp4", RenderSpec())
    assert [path.name for path in tmp_path.iterdir()] == ["plain.png"]


def test_a_plan_pinned_to_other_versions_is_refused(tmp_path: Path) -> None:
    plan = plan_for(Model.V4)
    for other in (
        replace(plan, engine=EngineId("puppet_v4", "0")),
        replace(plan, perception="0"),
        replace(plan, version="0"),
    ):
        with pytest.raises(EngineError, match="pinned"):
            run(Request(Stage.JOIN, RenderSpec(Model.V4), other, tmp_path), lambda _: None)


def test_a_sheet_shows_every_stage(media: tuple[Path, Path], rendered: Rendered, tmp_path: Path) -> None:
    make_sheet(media[1], tmp_path / "sheet.png", rendered=rendered.output)
    with Image.open(tmp_path / "sheet.png") as sheet:
        # Five rows of six 16:9 pictures, 320 pixels wide and 4 apart.
        assert sheet.height == 5 * 184 + 4
        assert sheet.width > 6 * 320
        rows = [np.asarray(sheet)[4 + 184 * row : 184 * (row + 1), 100:] for row in range(5)]
    changes = [np.abs(rows[0].astype(int) - row).mean() for row in rows[1:]]
    assert min(changes) > 1  # no row is the driver again


def test_a_clip_can_be_looped_to_any_length(media: tuple[Path, Path], tmp_path: Path) -> None:
    loop(media[1], tmp_path / "long.mp4", 29)
    info, driver = probe(tmp_path / "long.mp4"), probe(media[1])
    assert (info.frames, info.rate, info.has_sound) == (29, driver.rate, False)
    frames = list(read_frames(tmp_path / "long.mp4", info))
    assert np.abs(frames[0].astype(int) - frames[driver.frames]).mean() < 3


def test_the_bench_tells_time_and_memory_of_a_process_of_its_own(media: tuple[Path, Path]) -> None:
    figures = bench(*media, Model.V3)
    assert list(figures["stages"]) == [stage.value for stage in RENDER]
    assert all(stage["core_per_second"] >= 0 for stage in figures["stages"].values())
    assert figures["wall_seconds"] >= sum(s["wall_seconds"] for s in figures["stages"].values()) - 0.1
    assert figures["clip"]["frames"] == 12
    assert 100 < figures["memory"]["peak_pss_mb"] <= figures["memory"]["peak_rss_mb"] < 3000
