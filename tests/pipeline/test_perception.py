"""The detector and all that is made of its findings, on a made dancer whose every joint is known."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.errors import NoPerson
from pipeline.ffmpeg import probe, read_frames, read_gray
from pipeline.perception.base import Pose
from pipeline.perception.people import _window
from pipeline.perception.tracks import Joint, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Item, Progress, Request
from pipeline.render import stages_of
from pipeline.samples import Scene, Truth, make_character, make_driver
from pipeline.spec import Model, RenderSpec, Span, Stage, VideoInfo, plan_for
from pipeline.stages import run
from tests.pipeline.scenes import psnr

LIMBS = (
    *(Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW),
    *(Joint.LEFT_WRIST, Joint.RIGHT_WRIST, Joint.LEFT_HIP, Joint.RIGHT_HIP),
    *(Joint.LEFT_KNEE, Joint.RIGHT_KNEE, Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE),
)


@dataclass(frozen=True)
class Seen:
    """A made driving video, its truth, and what the stages that look at it made of it."""

    video: Path
    info: VideoInfo
    truth: Truth
    mask: Path
    files: Mapping[str, Path]

    @property
    def tracks(self) -> Tracks:
        return Tracks.load(self.files["tracks"])


@pytest.fixture(scope="module", params=[0.0, 0.08], ids=["still camera", "camera that swings"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("dancer")
    video, mask = folder / "driver.mp4", folder / "mask.mkv"
    scene = Scene(width=640, height=360, seconds=2.0, rate=Fraction(20), sound=False, swing=request.param)
    truth = make_driver(video, scene, mask=mask)
    files: dict[str, Path] = {}
    for _, made, _ in stages_of((), video, RenderSpec(), folder):
        files |= made
    return Seen(video, probe(video), truth, mask, files)


def test_the_dancer_is_followed_from_the_first_frame_to_the_last(seen: Seen) -> None:
    person = seen.tracks.people[0]
    assert person.present.all()
    found, true = person.joints[:, LIMBS, :2], seen.truth.joints[:, LIMBS]
    torso = np.linalg.norm(true[:, 0] - true[:, 6], axis=-1).mean()
    assert np.linalg.norm(found - true, axis=-1).mean() / torso < 0.12


def test_the_matte_covers_the_dancer_and_nothing_else(seen: Seen) -> None:
    width, height = seen.tracks.matte_size
    scores = []
    mattes = read_gray(seen.files["matte-0000"], width, 2 * height)
    for both, true in zip(mattes, read_gray(seen.mask, seen.info.width, seen.info.height), strict=True):
        there = cv2.resize(true, (width, height), interpolation=cv2.INTER_AREA) > 127
        found = both[:height] > 127
        scores.append((there & found).sum() / (there | found).sum())
    assert np.mean(scores) > 0.9 and min(scores) > 0.8


def test_the_camera_stands_or_swings_as_it_did(seen: Seen) -> None:
    camera = seen.tracks.camera
    if not seen.truth.shifts.any():
        assert camera is None
        return
    assert camera is not None
    # The view moved to the right by so much: so much further right its pixels lie in the first frame.
    np.testing.assert_allclose(camera[:, 0, 2], seen.truth.shifts, atol=1.5)


def test_the_plate_is_the_room_without_the_dancer(seen: Seen) -> None:
    plate = Plate.load(seen.files["plate"])
    background = seen.truth.background
    assert psnr(plate.frame(0), background) > 26
    frame = next(read_frames(seen.video, seen.info))
    width, height = seen.tracks.matte_size
    matte = next(read_gray(seen.files["matte-0000"], width, 2 * height))[:height]
    mask = next(read_gray(seen.mask, seen.info.width, seen.info.height)) > 0
    cleaned = plate.clean(0, frame, matte).astype(int)
    wrong = np.abs(cleaned - background).max(axis=2) > 24
    theirs = np.abs(cleaned - frame).max(axis=2) < 12
    assert (wrong & theirs & mask).sum() / mask.sum() < 0.01


def analysed(seen: Seen, out: Path, spans: tuple[Span, ...]) -> list[Progress | Item]:
    events: list[Progress | Item] = []
    request = Request(
        Stage.ANALYSE, RenderSpec(), plan_for(Model.V4), out, {"video": seen.video}, seen.info, spans
    )
    run(request, events.append)
    return events


def test_pieces_are_whole_when_they_are_reported_and_frames_are_counted(seen: Seen, tmp_path: Path) -> None:
    spans = (Span(0, 0, 6), Span(1, 6, 10))
    events = analysed(seen, tmp_path, spans)
    assert [event.done for event in events if isinstance(event, Progress)] == list(range(1, 11))
    items = [event for event in events if isinstance(event, Item)]
    assert [item.index for item in items] == [0, 1]
    assert all(Path(path).stat().st_size for item in items for path in item.files.values())
    assert set(items[1].files) == {"piece-0001", "matte-0001"}


def test_a_piece_is_the_same_whatever_was_analysed_before_it(seen: Seen, tmp_path: Path) -> None:
    """A unit that is resumed at its second piece makes the same second piece."""
    both, second = tmp_path / "both", tmp_path / "second"
    for folder, spans in ((both, (Span(0, 0, 6), Span(1, 6, 10))), (second, (Span(1, 6, 10),))):
        folder.mkdir()
        analysed(seen, folder, spans)
    for name in ("piece-0001.npz", "matte-0001.mkv"):
        assert (both / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to a core")
def test_findings_do_not_depend_on_the_number_of_cores(seen: Seen, tmp_path: Path) -> None:
    request = Request(
        Stage.ANALYSE,
        RenderSpec(),
        plan_for(Model.V4),
        tmp_path,
        {"video": seen.video},
        seen.info,
        plan_for(Model.V4).pieces(seen.info.frames),
    )
    program = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from pipeline.threads import fix_environment; fix_environment()\n"
        "from pipeline.protocol import Request; from pipeline.stages import run\n"
        "run(Request.loads(sys.argv[1]), lambda event: None)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, request.dumps()], check=True, capture_output=True, text=True
    )
    assert child.stderr == ""
    assert (tmp_path / "piece-0000.npz").read_bytes() == seen.files["piece-0000"].read_bytes()
    assert (tmp_path / "matte-0000.mkv").read_bytes() == seen.files["matte-0000"].read_bytes()


def test_a_bird_is_no_person(real_media: Path, tmp_path: Path) -> None:
    with pytest.raises(NoPerson):
        for _ in stages_of((), real_media / "bird.mp4", RenderSpec(), tmp_path):
            pass


def test_a_made_character_is_found_with_its_outline(tmp_path: Path) -> None:
    from pipeline.perception.still import find_person

    joints = make_character(tmp_path / "character.png", width=480, height=720, scenery=True)
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / "character.png")), cv2.COLOR_BGR2RGB)
    found = find_person(np.asarray(picture, np.uint8))
    assert found is not None
    assert found.mask.shape == picture.shape[:2]
    torso = np.linalg.norm(joints[Joint.LEFT_SHOULDER] - joints[Joint.LEFT_HIP])
    assert np.linalg.norm(found.joints[LIMBS, :2] - joints[list(LIMBS)], axis=-1).mean() / torso < 0.15
    assert found.mask[round(joints[Joint.LEFT_HIP][1]), round(joints[Joint.LEFT_HIP][0])] > 0.9


def test_an_empty_wall_holds_no_person() -> None:
    from pipeline.perception.still import find_person
    from tests.pipeline.scenes import wall

    assert find_person(wall(480, 320)) is None


def test_where_pieces_meet_joints_go_on_and_the_name_stays(seen: Seen, tmp_path: Path) -> None:
    """Against the same video in one piece: the change across the boundary is as large as elsewhere."""
    plan = replace(plan_for(Model.V4), piece_frames=20)
    files: dict[str, Path] = {"video": seen.video}
    for stage, spans in ((Stage.ANALYSE, plan.pieces(seen.info.frames)), (Stage.JOIN, ())):
        out = tmp_path / stage.value
        out.mkdir()
        made: list[Progress | Item] = []
        done = run(Request(stage, RenderSpec(), plan, out, files, seen.info, spans), made.append)
        for event in (*made, done):
            files |= {name: Path(path) for name, path in getattr(event, "files", {}).items()}
    (person,), whole = Tracks.load(files["tracks"]).people, seen.tracks.people[0]
    assert person.present.all()
    torso = np.linalg.norm(whole.joints[:, 11, :2] - whole.joints[:, 23, :2], axis=-1).mean()
    apart = np.linalg.norm(person.joints[:, LIMBS, :2] - whole.joints[:, LIMBS, :2], axis=-1).mean(axis=1)
    assert apart.max() / torso < 0.05
    steps = np.linalg.norm(np.diff(person.joints[:, LIMBS, :2], axis=0), axis=-1).mean(axis=1)
    others = np.linalg.norm(np.diff(whole.joints[:, LIMBS, :2], axis=0), axis=-1).mean(axis=1)
    assert abs(steps[19] - others[19]) / torso < 0.04


@pytest.mark.parametrize("place", [(-500, 90), (500, 90), (160, -400), (160, 400), (900, 900)])
@pytest.mark.parametrize("size", [(320, 180), (2, 2)])
def test_who_has_left_the_frame_is_looked_for_inside_of_it(
    place: tuple[int, int], size: tuple[int, int]
) -> None:
    width, height = size
    joints = np.zeros((33, 4), np.float32)
    joints[:, :2] = place
    joints[[11, 12], 0] += (8, -8)
    pose = Pose(joints, np.zeros((height, width), np.float32))
    left, top, right, bottom = _window(pose, (0, 0, width, height), (height, width, 3))
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
