"""Of several people in a picture the largest becomes the character, and nothing of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.character import Character, make_character
from pipeline.perception.tracks import Joint
from pipeline.samples import make_character as draw_character
from pipeline.samples.looks import CHARACTER

#: The other one's shirt and trousers have colours that nothing else in the picture has.
VIOLET, LIME = (150, 30, 200), (170, 250, 20)


def figure(folder: Path, height: int, *, other: bool = False) -> Image.Image:
    look = replace(CHARACTER, shirt=VIOLET, stripe=VIOLET, trousers=LIME, cuff=LIME) if other else CHARACTER
    draw_character(folder / "one.png", width=round(0.64 * height), height=height, look=look)
    with Image.open(folder / "one.png") as picture:
        return picture.convert("RGBA")


def side_by_side(folder: Path, *, alpha: bool, swapped: bool = False) -> Path:
    """A large figure and a small one that wears other colours; on a wall, or cut out."""
    large, small = figure(folder, 900), figure(folder, 520, other=True)
    picture = Image.new("RGBA", (1100, 960), (176, 190, 200, 0 if alpha else 255))
    first, second = ((620, 420), (20, 40)) if not swapped else ((60, 420), (480, 40))
    picture.alpha_composite(small, first)
    picture.alpha_composite(large, second)
    path = folder / "two.png"
    (picture if alpha else picture.convert("RGB")).save(path)
    return path


def of_the_other(character: Character) -> float:
    """The share of the character's pixels that have the other one's colours."""
    total = strange = 0
    for layer in character.layers:
        rgb = layer.rgba[layer.rgba[..., 3] > 128][:, :3].astype(int)
        total += len(rgb)
        for color in (VIOLET, LIME):
            strange += int((np.abs(rgb - color).max(axis=1) < 60).sum())
    return strange / total


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_larger_of_two_is_taken_and_nothing_of_the_other(
    tmp_path: Path, alpha: bool, swapped: bool
) -> None:
    character = make_character(side_by_side(tmp_path, alpha=alpha, swapped=swapped))
    assert of_the_other(character) < 0.002
    # The large one is about 760 pixels from crown to sole, and less than 600 wide.
    assert character.size[1] > 700
    assert character.size[0] < 640
    assert character.has_legs
    assert character.has_arms == (True, True)


def test_a_figure_that_fills_its_picture_is_taken_whole(tmp_path: Path) -> None:
    picture = figure(tmp_path, 900)
    tight = picture.crop(picture.getbbox())
    wall = Image.new("RGBA", tight.size, (120, 150, 140, 255))
    wall.alpha_composite(tight)
    wall.convert("RGB").save(tmp_path / "tight.png")
    character = make_character(tmp_path / "tight.png")
    assert character.has_legs
    assert character.has_arms == (True, True)
    assert character.size[1] > 0.97 * tight.height
    assert 0 < character.joints[Joint.NOSE, 1] < 0.35 * tight.height


@pytest.mark.parametrize(("share", "legs"), [(0.72, False), (0.5, False), (0.42, False)])
def test_a_body_that_its_picture_cuts_off_drives_what_it_has(
    tmp_path: Path, share: float, legs: bool
) -> None:
    """Seen to the knees, to the waist, and a bust."""
    picture = figure(tmp_path, 900)
    wall = Image.new("RGBA", picture.size, (120, 150, 140, 255))
    wall.alpha_composite(picture)
    wall.convert("RGB").crop((0, 0, wall.width, round(share * wall.height))).save(tmp_path / "cut.png")
    character = make_character(tmp_path / "cut.png")
    assert character.has_legs == legs
    assert character.cut is not None
    assert {"torso", "head"} <= {layer.name for layer in character.layers}
