"""Several people in one video: who is played, who is kept, and who hides whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from pipeline.casting import kept_of, parts_of
from pipeline.character import Character
from pipeline.compositing import composed
from pipeline.depth import Depth
from pipeline.engines.base import Continuity, Engine, Scene
from pipeline.errors import UnknownPerson, WrongModel
from pipeline.ffmpeg import read_frames
from pipeline.perception.mattes import MatteWriter
from pipeline.perception.tracks import JOINTS, Joint, Person, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Request
from pipeline.spec import Background, Model, RenderSpec, Span, Stage
from pipeline.stages import run
from tests.pipeline.scenes import HEIGHT, MATTE, RATE, WIDTH, Frame, WalkingBlock, plate_of

WALKER, STANDER = "person_0000000a", "person_0000000b"
#: Where somebody stands: left, top, right, bottom.
STANDS = (150, 90, 190, 170)
RED = (200, 0, 0, 255)


@dataclass(frozen=True)
class Two(WalkingBlock):
    """A walker, and a green block that stands in their way: nearer or farther, as its feet are."""

    frames: int = 24
    stands: tuple[int, int, int, int] = STANDS

    @property
    def nearer(self) -> bool:
        return self.stands[3] == HEIGHT

    def frame(self, number: int) -> Frame:
        frame = self.background(number)
        blocks = [(self.mask(number), (20, 10, 40)), (self.stander(), (20, 160, 60))]
        for mask, color in blocks if self.nearer else reversed(blocks):
            frame[mask] = color
        return frame

    def stander(self) -> np.ndarray:
        left, top, right, bottom = self.stands
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[top:bottom, left:right] = True
        return mask

    def seen(self, number: int) -> np.ndarray:
        """The stander's pixels."""
        return self.stander() if self.nearer else self.stander() & ~self.mask(number)

    def tracks(self) -> Tracks:
        joints = np.zeros((2, self.frames, JOINTS, 4), np.float32)
        joints[..., 3] = 1
        for number in range(self.frames):
            for who, mask in enumerate((self.mask(number), self.stander())):
                rows, columns = np.nonzero(mask)
                joints[who, number, :, 0] = np.linspace(columns.min(), columns.max(), JOINTS)
                joints[who, number, :, 1] = (rows.min() + rows.max()) / 2
                # Both leave the frame below; the nearer one's feet are lower still.
                feet = rows.max() + (12 if who == 1 and self.nearer else 0)
                joints[who, number, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE], 1] = feet
        there = np.ones(self.frames, bool)
        slots = np.zeros(self.frames, np.int16)
        people = (Person(WALKER, joints[0], there, slots), Person(STANDER, joints[1], there, slots + 1))
        return Tracks(people, (), MATTE, model=Model.V4)

    def request(self, folder: Path) -> Request:  # type: ignore[override]  # the plan is always the same
        request = super().request(folder)
        with MatteWriter(request.inputs["matte-0000"], MATTE, RATE) as writer:
            for number in range(self.frames):
                both = (self.mask(number) | self.stander()).astype(np.uint8) * 255
                small = cv2.resize(both, MATTE, interpolation=cv2.INTER_AREA)
                slots = cv2.resize(self.seen(number).astype(np.uint8), MATTE, interpolation=cv2.INTER_NEAREST)
                writer.write(np.asarray(small, np.uint8), np.asarray(slots, np.uint8))
        return request


class Painter(Engine):
    """Draws whoever it is told as one red block where they stand."""

    name, version, continuity = "painter", "1", Continuity.INDEPENDENT

    def setup(self, device: str) -> None:
        """There is nothing to load."""

    def perform(self, character: Character, person: Person, span: Span, scene: Scene) -> Iterator[np.ndarray]:
        for number in range(span.start, span.stop):
            x, y = person.joints[number, :, 0], person.joints[number, :, 1]
            frame = np.zeros((scene.size[1], scene.size[0], 4), np.uint8)
            frame[max(0, int(y.min()) - 30) : int(y.max()), int(x.min()) : int(x.max()) + 1] = RED
            yield frame


def frames_of(scene: Two, folder: Path, spec: RenderSpec) -> tuple[list[Frame], list[Frame]]:
    """The driver's frames, and those that would be encoded."""
    request = scene.request(folder)
    plate = Plate.load(plate_of(request))
    request = replace(request, stage=Stage.SEGMENT, spec=spec)
    assert request.video is not None
    span = Span(0, 0, scene.frames)
    anyone = {0: cast(Character, None)}
    made = composed(request, span, scene.tracks(), plate, anyone, Painter())
    return list(read_frames(request.inputs["video"], request.video)), [picture for picture, _ in made]


def test_the_scene_is_known_before_threads_share_its_plate(tmp_path: Path) -> None:
    """A plate holds one canvas: asked from two threads at once it could give each the other's."""
    askers: list[int] = []

    class Watched(Plate):
        def frame(self, number: int) -> Frame:
            askers.append(threading.get_ident())
            return super().frame(number)

    scene = Two()
    request = replace(scene.request(tmp_path), stage=Stage.SEGMENT, spec=RenderSpec(cast=((WALKER, 0),)))
    plate = Watched.load(plate_of(request))
    anyone = {0: cast(Character, None)}
    for _ in composed(request, Span(0, 0, scene.frames), scene.tracks(), plate, anyone, Painter()):
        pass
    assert askers == [threading.get_ident()]


def is_red(picture: Frame) -> np.ndarray:
    return np.asarray((picture == RED[:3]).all(axis=-1))


def is_green(picture: Frame) -> np.ndarray:
    return np.asarray(np.abs(picture.astype(int) - (20, 160, 60)).max(axis=-1) < 16)


@pytest.mark.parametrize("bottom", [HEIGHT, HEIGHT - 40], ids=["in front", "behind"])
def test_who_is_kept_stays_to_the_pixel(bottom: int, tmp_path: Path) -> None:
    scene = Two(stands=(150, 60, 190, bottom))
    driver, made = frames_of(scene, tmp_path, RenderSpec(cast=((WALKER, 0),)))
    met = 0
    for number, (before, after) in enumerate(zip(driver, made, strict=True)):
        # The matte is half as large as the frame: what is surely the stander's lies a little inside.
        own = cv2.erode(scene.seen(number).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        free = own & ~is_red(after)
        np.testing.assert_array_equal(after[free], before[free])
        met += int((own & scene.mask(number)).any())
        if scene.nearer:
            assert not is_red(after)[own].any()
        assert is_red(after).any()
    assert met or not scene.nearer


def test_far_from_who_is_replaced_the_frame_is_the_drivers_to_the_bit(tmp_path: Path) -> None:
    scene = Two(speed=1)
    driver, made = frames_of(scene, tmp_path, RenderSpec(cast=((WALKER, 0),)))
    for before, after in zip(driver, made, strict=True):
        np.testing.assert_array_equal(after[:, 200:], before[:, 200:])


def test_two_parts_hide_each_other_by_depth(tmp_path: Path) -> None:
    scene = Two(stands=(150, 60, 190, HEIGHT))
    driver, made = frames_of(scene, tmp_path, RenderSpec(cast=((WALKER, 0), (STANDER, 0))))
    own = cv2.erode(scene.stander().astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    for before, after in zip(driver, made, strict=True):
        green = (np.abs(after.astype(int) - (20, 160, 60)).max(axis=-1) < 12) & own
        assert (
            green.mean()
            < 0.001
            < ((np.abs(before.astype(int) - (20, 160, 60)).max(axis=-1) < 12) & own).mean()
        )


def test_before_one_colour_only_characters_are_shown(tmp_path: Path) -> None:
    spec = RenderSpec(background=Background.SOLID, bg_color=(0, 255, 0), cast=((WALKER, 0),))
    _, made = frames_of(Two(), tmp_path, spec)
    for picture in made:
        assert (is_red(picture) | (picture == (0, 255, 0)).all(axis=-1)).all()


def test_without_a_cast_the_lead_is_played_and_the_others_are_kept() -> None:
    tracks = Two().tracks()
    assert [(part.person.id, part.character) for part in parts_of(RenderSpec(), tracks)] == [(WALKER, 0)]
    assert [person.id for person in kept_of(RenderSpec(), tracks)] == [STANDER]


def test_a_cast_of_somebody_who_is_not_there_is_refused_with_its_code() -> None:
    spec = RenderSpec(cast=((WALKER, 0), ("person_ffffffff", 1)))
    with pytest.raises(UnknownPerson, match="person_ffffffff") as raised:
        parts_of(spec, Two().tracks())
    assert raised.value.code == "CS-ORIV-012"


def test_a_spec_with_a_cast_comes_back_from_json_and_an_old_one_without_does_too() -> None:
    spec = RenderSpec(cast=((WALKER, 1), (STANDER, 0)))
    assert RenderSpec.from_json(spec.to_json()) == spec
    old = {key: value for key, value in RenderSpec().to_json().items() if key != "cast"}
    assert RenderSpec.from_json(old) == RenderSpec()


def test_a_scene_made_for_one_model_is_refused_by_the_other(tmp_path: Path) -> None:
    scene = Two()
    request = replace(scene.request(tmp_path), stage=Stage.SEGMENT)
    plate = {"plate": plate_of(request)}
    replace(scene.tracks(), model=Model.V3).save(request.inputs["tracks"])
    with pytest.raises(WrongModel) as raised:
        run(replace(request, inputs={**request.inputs, **plate}), lambda _: None)
    assert raised.value.code == "CS-ORIV-013"


def test_who_is_nearer_is_settled_over_time_and_the_same_both_ways() -> None:
    tracks = Two(stands=(150, 60, 190, HEIGHT - 40)).tracks()
    depth = Depth(tracks.people, (), 15.0)
    walker, stander = tracks.people
    for number in range(24):
        assert depth.in_front(walker, stander, number) != depth.in_front(stander, walker, number)
        assert depth.rearmost_first(tracks.people, number) == [stander, walker]


def test_who_is_nearer_in_one_shot_says_nothing_of_another() -> None:
    walker, stander = Two(stands=(150, 60, 190, HEIGHT - 40)).tracks().people
    feet = [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]
    walker.joints[12:, feet, 1] -= 200
    depth = Depth((walker, stander), (12,), 15.0)
    assert [depth.in_front(walker, stander, number) for number in range(24)] == [True] * 12 + [False] * 12
    assert [depth.in_front(stander, walker, number) for number in (11, 12)] == [False, True]
