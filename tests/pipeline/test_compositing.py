"""What the segment stage hands to the encoder."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from pipeline.character import Character
from pipeline.compositing import over, render_segment
from pipeline.engines.base import Continuity, Engine, Scene
from pipeline.errors import EngineError
from pipeline.ffmpeg import probe, read_frames
from pipeline.perception.tracks import Person, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Item, Progress, Request
from pipeline.spec import Background, Model, RenderSpec, Span, Stage, VideoInfo, plan_for

WIDTH, HEIGHT, FRAMES = 96, 64, 12
VIDEO = VideoInfo(WIDTH, HEIGHT, Fraction(24), FRAMES, False, "h264")


def square(alpha: int = 255) -> np.ndarray:
    """A white square on nothing, premultiplied."""
    frame = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    frame[16:48, 32:64] = alpha
    return frame


class Given(Engine):
    """Yields the frames it was made with."""

    name, version, continuity = "given", "1", Continuity.INDEPENDENT

    def __init__(self, frames: list[np.ndarray]) -> None:
        self.frames = frames

    def setup(self, device: str) -> None:
        """There is nothing to load."""

    def perform(self, character: Character, person: Person, span: Span, scene: Scene) -> Iterator[np.ndarray]:
        yield from self.frames


def segment(tmp_path: Path, frames: list[np.ndarray], spec: RenderSpec) -> tuple[Item, list[object]]:
    """One segment drawn by an engine that gives ``frames``; needs neither driver nor plate."""
    joints, present = np.zeros((FRAMES, 33, 4), np.float32), np.ones(FRAMES, bool)
    person = Person("person_00000001", joints, present, np.zeros(FRAMES, np.int16))
    tracks = Tracks((person,), (), (WIDTH, HEIGHT))
    request = Request(Stage.SEGMENT, spec, plan_for(Model.V3), tmp_path, {}, VIDEO)
    # Backgrounds of one colour look at no plate and at no character.
    plate, character = cast(Plate, None), cast(Character, None)
    events: list[object] = []
    item = render_segment(
        request, Span(3, 0, FRAMES), tracks, plate, {0: character}, Given(frames), events.append
    )
    return item, events


def test_nothing_over_a_scene_is_the_scene_to_the_bit() -> None:
    scene = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    before = scene.copy()
    nothing = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    np.testing.assert_array_equal(over(scene.copy(), nothing), before)
    drawn = over(scene.copy(), square())
    outside = square()[..., 3] == 0
    np.testing.assert_array_equal(drawn[outside], before[outside])
    assert (drawn[~outside] == 255).all()


def test_inside_the_characters_box_its_gaps_show_the_scene_to_the_bit() -> None:
    scene = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    ring = square()
    ring[20:44, 36:60] = 0
    drawn = over(scene.copy(), ring)
    np.testing.assert_array_equal(drawn[20:44, 36:60], scene[20:44, 36:60])


def test_light_adds_at_soft_edges_as_light_does() -> None:
    half = over(np.zeros((HEIGHT, WIDTH, 3), np.uint8), square(128))
    encoded = round(255 * (128 / 255) ** (1 / 2.2))
    assert abs(int(half[32, 48, 0]) - encoded) <= 1


def test_a_solid_background_has_the_colour_that_was_asked_for(tmp_path: Path) -> None:
    spec = RenderSpec(Model.V3, Background.SOLID, (20, 180, 90))
    item, events = segment(tmp_path, [square()] * FRAMES, spec)
    assert list(item.files) == ["segment-0003"]
    assert events[-1] == item
    assert [event.done for event in events if isinstance(event, Progress)][-1] == FRAMES
    path = Path(item.files["segment-0003"])
    info = probe(path)
    assert (info.width, info.height, info.rate, info.frames) == (WIDTH, HEIGHT, Fraction(24), FRAMES)
    frames = list(read_frames(path, info))
    assert np.abs(frames[5][4, 4].astype(int) - (20, 180, 90)).max() <= 3
    assert frames[5][32, 48].min() >= 250


def test_a_transparent_background_gives_black_and_a_mask_of_the_same_size(tmp_path: Path) -> None:
    spec = RenderSpec(Model.V3, Background.TRANSPARENT)
    item, _ = segment(tmp_path, [square()] * FRAMES, spec)
    assert sorted(item.files) == ["mask-0003", "segment-0003"]
    for name in item.files:
        path = Path(item.files[name])
        info = probe(path)
        assert (info.width, info.height, info.frames) == (WIDTH, HEIGHT, FRAMES)
        frame = next(iter(read_frames(path, info)))
        assert frame[4, 4].max() <= 2
        assert frame[32, 48].min() >= 253


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [square()] * (FRAMES - 1),
        [square()] * (FRAMES + 1),
        [square()[:-2]] * FRAMES,
        [square().astype(np.int32)] * FRAMES,
        [None] * FRAMES,
        [square()] * (FRAMES - 1) + [np.full((HEIGHT, WIDTH, 4), np.nan, np.float32)],
        [np.full((HEIGHT, WIDTH, 4), np.inf, np.float16)] * FRAMES,
    ],
    ids=["none", "too few", "too many", "wrong shape", "wrong kind", "no frame", "no number", "no end"],
)
def test_an_engine_that_breaks_its_promise_fails_and_leaves_no_file(
    tmp_path: Path, frames: list[np.ndarray]
) -> None:
    with pytest.raises(EngineError, match="given/1 gave") as caught:
        segment(tmp_path, frames, RenderSpec(Model.V3, Background.SOLID))
    assert caught.value.retryable  # by a fresh process, or elsewhere
    assert list(tmp_path.iterdir()) == []


def test_floats_are_shares_of_full_light(tmp_path: Path) -> None:
    half = np.full((HEIGHT, WIDTH, 4), 0.5, np.float32)
    half[..., 3] = 1
    item, _ = segment(tmp_path, [half] * FRAMES, RenderSpec(Model.V3, Background.SOLID))
    path = Path(item.files["segment-0003"])
    frame = next(read_frames(path, probe(path)))
    assert np.abs(frame.astype(int) - 128).max() <= 2
