"""What fills a plate is named by the plan; a model is used where its weights are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pipeline import weights
from pipeline.__main__ import main
from pipeline.errors import EngineError
from pipeline.plate import Plate
from pipeline.plate.fill import fill
from pipeline.plate.fillers import LAMA, LAMA_FILE, best_fill, filler_for
from pipeline.spec import EMBEDDED_FILL, Model, Plan, plan_for
from tests.pipeline.scenes import WalkingBlock, plate_of, wall


class Green(torch.nn.Module):
    """Fills with green; tells by its blue how many of its pixels are masked."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert image.shape[2] % 8 == 0 and image.shape[3] % 8 == 0
        assert bool(((mask == 0) | (mask == 1)).all()) and bool((image <= 1).all())
        green = torch.zeros_like(image)
        green[:, 1] = 1
        return image * (1 - mask) + green * mask


class Halved(torch.nn.Module):
    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (image * mask)[:, :, ::2]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which weights are looked for."""
    path = tmp_path / "weights"
    path.mkdir()
    weights.look_in(path)
    yield path
    weights.look_in(None)


def put(folder: Path, module: torch.nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch wants its newer formats
        scripted = torch.jit.script(module)
    scripted.save(str(folder / LAMA_FILE))


def hole() -> np.ndarray:
    gap = np.zeros((181, 319), bool)
    gap[60:, 100:151] = True
    return gap


def test_without_weights_patches_fill(folder: Path) -> None:
    assert best_fill() == EMBEDDED_FILL
    assert filler_for(EMBEDDED_FILL) is fill


def test_weights_are_left_where_there_is_nothing_to_run_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / LAMA_FILE).write_bytes(b"a model")
    monkeypatch.setattr("pipeline.plate.fillers.find_spec", lambda name: None)
    assert best_fill() == EMBEDDED_FILL
    with pytest.raises(EngineError, match="big-lama"):
        filler_for(LAMA)


def test_weights_that_are_there_are_used_in_the_hole_alone(folder: Path) -> None:
    put(folder, Green())
    assert best_fill() == LAMA
    picture, gap = np.asarray(wall(319, 181)), hole()
    filled = filler_for(best_fill())(picture, gap)
    np.testing.assert_array_equal(filled[~gap], picture[~gap])
    assert (filled[gap] == (0, 255, 0)).all()


def test_a_picture_larger_than_the_model_takes_is_filled_as_well(folder: Path) -> None:
    put(folder, Green())
    picture = np.full((900, 1500, 3), 90, np.uint8)
    gap = np.zeros((900, 1500), bool)
    gap[50:850, 100:1400] = True
    filled = filler_for(LAMA)(picture, gap)
    assert (filled[~gap] == 90).all()
    assert (filled[56:844, 106:1394] == (0, 255, 0)).all()


@pytest.mark.parametrize("gap", [np.zeros((20, 30), bool), np.ones((20, 30), bool)], ids=["none", "all"])
def test_with_nothing_to_fill_or_to_fill_from_no_model_is_asked(gap: np.ndarray, folder: Path) -> None:
    (folder / LAMA_FILE).write_bytes(b"no model")
    picture = np.full((20, 30, 3), 5, np.uint8)
    np.testing.assert_array_equal(filler_for(LAMA)(picture, gap), fill(picture, gap))


def test_a_plan_that_names_a_filler_is_not_drawn_with_another(folder: Path) -> None:
    with pytest.raises(EngineError, match="big-lama"):
        filler_for(LAMA)


@pytest.mark.parametrize("module", [None, Halved()], ids=["a broken file", "another size"])
def test_a_model_that_does_not_fill_is_an_error_of_the_engine(
    module: torch.nn.Module | None, folder: Path
) -> None:
    if module is None:
        (folder / LAMA_FILE).write_bytes(b"no model")
    else:
        put(folder, module)
    with pytest.raises(EngineError):
        filler_for(LAMA)(np.asarray(wall(319, 181)), hole())


def test_the_plans_filler_makes_the_plate(folder: Path, tmp_path: Path) -> None:
    put(folder, Green())
    scene = WalkingBlock(frames=6, speed=0)
    plan = plan_for(Model.V4, best_fill())
    assert Plan.from_json(plan.to_json()) == plan
    request = scene.request(tmp_path, plan)
    path = plate_of(request)
    shown = Plate.load(path).frame(0)
    assert (np.abs(shown[140, 40].astype(int) - (0, 255, 0)) < 8).all()
    embedded = replace(request, plan=plan_for(Model.V4))
    path = plate_of(embedded)
    assert not (Plate.load(path).frame(0)[140, 40] == (0, 255, 0)).all()


def test_the_entry_point_says_where_weights_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, Green())
    monkeypatch.setattr("pipeline.__main__.fix_environment", lambda: None)
    for value, name in (("", EMBEDDED_FILL), (str(folder), LAMA)):
        result = CliRunner().invoke(main, ["samples", "--help"], env={"FARM_WEIGHTS": value})
        assert result.exit_code == 0
        assert best_fill() == name
