"""A user's renders, through HTTP and every real part, opened and judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from pipeline.samples.backdrop import room
from tests.e2e import judge
from tests.e2e.conftest import SAMPLES, RunningFarm
from tests.pipeline.clips import ffmpeg
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MODELS = ("V3_Preview", "V4_Preview")
BACKGROUNDS = ("original", "solid", "transparent")
COLOR = (200, 30, 120)
#: The sample's own size and rate, and so many of its frames: its first half is drawn on every background.
SIZE, RATE, FRAMES = (1280, 720), Fraction(30), 90
#: Every how many frames a picture is judged.
EVERY = 15
#: A channel that is further off than this is seen.
SEEN = 24


def post(farm: RunningFarm, path: str, files: dict[str, Path], **fields: str) -> dict[str, Any]:
    with ExitStack() as stack:
        opened = {name: stack.enter_context(path.open("rb")) for name, path in files.items()}
        url, headers = f"{farm.url}{path}", farm.headers()
        answer = requests.post(url, headers=headers, files=opened or None, data=fields, timeout=60)
    assert answer.status_code == 202, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def submit(farm: RunningFarm, picture: Path, video: Path, **fields: str) -> str:
    files = {"ref_image": picture, "driving_video": video}
    return str(post(farm, "/api/render", files, **fields)["job_id"])


def ready(farm: RunningFarm, asset: str) -> dict[str, Any]:
    """The character or scene, once it is ready."""
    kind = "characters" if asset.startswith("char_") else "scenes"
    shown: dict[str, Any] = {}

    def over() -> bool:
        shown.update(farm.get(f"/api/{kind}/{asset}", headers=farm.headers()).json())
        return shown["status"] not in {"pending", "processing"}

    until(over, 420, every=0.5)
    assert shown["status"] == "ready", shown
    return shown


def ended(farm: RunningFarm, job_id: str, seconds: float = 420) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    reached = -1.0
    while time.monotonic() < deadline:
        job: dict[str, Any] = farm.get(f"/api/render/{job_id}").json()
        assert job["progress_pct"] >= reached, "progress went backwards"
        reached = job["progress_pct"]
        if job["status"] in {"complete", "failed", "cancelled"}:
            return job
        time.sleep(0.5)
    raise AssertionError(f"{job_id} did not end in {seconds} s: {job}")


def fetch(url: str, path: Path) -> Path:
    answer = requests.get(url, timeout=60)
    assert answer.status_code == 200, url
    path.write_bytes(answer.content)
    return path


Where = NDArray[np.bool_]


@dataclass
class Made:
    """The finished videos of one model, by background, and the mask of the transparent one."""

    videos: dict[str, Path]
    mask: Path

    @cached_property
    def masks(self) -> list[NDArray[np.uint8]]:
        return [frame[..., 0] for frame in judge.frames(self.mask, EVERY)]

    def beside_masks(
        self, background: str
    ) -> Iterator[tuple[judge.Frame, NDArray[np.bool_], NDArray[np.bool_]]]:
        """Frame, well outside of the character, well inside of it."""
        kernel = np.ones((9, 9), np.uint8)
        for frame, mask in zip(judge.frames(self.videos[background], EVERY), self.masks, strict=True):
            outside = cv2.dilate(mask, kernel) < 8
            inside = cv2.erode(mask, kernel) > 247
            yield frame, outside, inside


@dataclass(frozen=True)
class Prepared:
    """The sample's character, and a scene of its driver for each model."""

    character: str
    scenes: dict[str, str]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first half of the sample's driver."""
    return shortened(SAMPLES / "driver.mp4", FRAMES / RATE, tmp_path_factory.mktemp("driver"))


def shortened(video: Path, seconds: Fraction, folder: Path) -> Path:
    """Its first seconds, as good as they were, and no larger than the sample."""
    path = folder / video.name
    encode = (
        "-vf",
        "scale=-2:min(720\\,ih)",
        "-c:v",
        "libx264",
        "-crf",
        "10",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
    )
    ffmpeg("-i", video, "-t", str(float(seconds)), *encode, path)
    return path


@pytest.fixture(scope="module")
def prepared(running_farm: RunningFarm, driver: Path) -> Prepared:
    picture, video = {"image": SAMPLES / "character.png"}, {"video": driver}
    character = post(running_farm, "/api/characters/preprocess", picture, name="she")["character_id"]
    scenes = {
        model: post(running_farm, "/api/scenes/preprocess", video, model=model)["scene_id"]
        for model in MODELS
    }
    return Prepared(character, scenes)


@pytest.fixture(scope="module")
def made(
    running_farm: RunningFarm, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Made]:
    """The sample rendered with each model on each background; all six jobs are on the farm at once."""
    folder = tmp_path_factory.mktemp("made")
    for asset in (prepared.character, *prepared.scenes.values()):
        ready(running_farm, asset)
    color = ",".join(map(str, COLOR))
    jobs = {
        (model, background): post(
            running_farm,
            "/api/render",
            {},
            character_id=prepared.character,
            scene_id=scene,
            background_mode=background,
            bg_color=color,
        )["job_id"]
        for model, scene in prepared.scenes.items()
        for background in BACKGROUNDS
    }
    found: dict[str, Made] = {}
    for model in MODELS:
        videos, mask = {}, folder / f"{model}-mask.mp4"
        for background in BACKGROUNDS:
            job = ended(running_farm, jobs[model, background])
            assert job["status"] == "complete", job
            assert job["model"] == model and job["checkpoint"] == "render_done" and job["progress_pct"] == 100
            assert job["credits"] == 3
            assert (job["mask_cdn_url"] is not None) == (background == "transparent")
            videos[background] = fetch(job["cdn_url"], folder / f"{model}-{background}.mp4")
            if job["mask_cdn_url"]:
                fetch(job["mask_cdn_url"], mask)
            fetch(job["thumbnail_url"], folder / "thumbnail.jpg")
        found[model] = Made(videos, mask)
    return found


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_video_has_the_drivers_size_rate_length_and_sound(
    made: dict[str, Made], driver: Path, model: str, background: str
) -> None:
    path = made[model].videos[background]
    facts = judge.facts(path)
    assert (facts.width, facts.height) == SIZE
    assert (facts.rate, facts.frames) == (RATE, FRAMES)
    assert facts.pixel_format == "yuv420p"
    assert facts.seconds == pytest.approx(FRAMES / RATE, abs=0.001)
    assert facts.sound_seconds == pytest.approx(FRAMES / RATE, abs=0.05)
    assert abs(judge.sound_offset(path, driver)) < 1 / RATE


@pytest.mark.parametrize("model", MODELS)
def test_the_mask_is_as_long_as_the_video_and_where_the_character_is(
    made: dict[str, Made], model: str
) -> None:
    facts = judge.facts(made[model].mask)
    assert (facts.width, facts.height, facts.frames) == (*SIZE, FRAMES)
    assert facts.sound_seconds is None
    for frame, outside, inside in made[model].beside_masks("transparent"):
        assert 0.02 < inside.mean() < 0.2
        assert frame[outside].mean() < 1.5, "black around the character"
        assert frame[inside].mean() > 60, "the character where the mask is white"


@pytest.mark.parametrize("model", MODELS)
def test_a_solid_background_is_the_colour_asked_for(made: dict[str, Made], model: str) -> None:
    for frame, outside, _ in made[model].beside_masks("solid"):
        off = np.abs(frame[outside].astype(int) - COLOR).max(axis=1)
        assert (off > 12).mean() < 0.001


@pytest.mark.parametrize("model", MODELS)
def test_the_driver_is_gone_from_the_original_background(
    made: dict[str, Made], driver: Path, model: str
) -> None:
    """Blurred, so that neither codec's noise on hard edges is taken for a person."""

    def blurred(frame: judge.Frame) -> NDArray[np.int64]:
        return cv2.blur(frame, (9, 9)).astype(np.int64)

    clean = blurred(room(*SIZE))
    uncovered = ghosts = 0
    before = judge.frames(driver, EVERY)
    for (frame, outside, _), played in zip(made[model].beside_masks("original"), before, strict=True):
        shown, was = blurred(frame), blurred(played)
        off = np.abs(shown - clean).max(axis=2)
        assert (off[outside] > SEEN).mean() < 0.006, "the room around the character is the clean one"
        person = outside & (np.abs(was - clean).max(axis=2) > 40)
        uncovered += person.sum()
        ghosts += (person & (off > SEEN) & (np.abs(shown - was).max(axis=2) < off)).sum()
    assert uncovered > 1000, "somewhere the driver stood where the character does not"
    assert ghosts < 0.35 * uncovered


@pytest.mark.parametrize("model", MODELS)
def test_the_character_performs_in_the_drivers_place(made: dict[str, Made], model: str) -> None:
    """Inside the mask stands the same character on every background, and she wears yellow, not jeans.

    V4 also takes on the light of the scene, so that it is a little darker in this room than alone.
    """
    most = {"V3_Preview": 6, "V4_Preview": 25}[model]
    shown = zip(made[model].beside_masks("original"), made[model].beside_masks("transparent"), strict=True)
    for (original, _, inside), (alone, _, _) in shown:
        assert np.abs(original[inside].astype(int) - alone[inside]).mean() < most
        rows = np.flatnonzero(inside.any(axis=1))
        middle = slice(int(np.percentile(rows, 55)), int(np.percentile(rows, 75)))
        red, _, blue = original[middle][inside[middle]].mean(axis=0)
        assert red > blue + 60


def test_the_models_make_different_pictures(made: dict[str, Made]) -> None:
    pairs = zip(*(judge.frames(made[model].videos["original"], EVERY) for model in MODELS), strict=True)
    assert any(judge.psnr(a, b) < 45 for a, b in pairs)


def test_a_render_of_what_was_prepared_is_to_the_bit_the_one_that_prepares_it_all_itself(
    running_farm: RunningFarm, made: dict[str, Made], driver: Path, tmp_path: Path
) -> None:
    job = ended(running_farm, submit(running_farm, SAMPLES / "character.png", driver))
    assert job["status"] == "complete", job
    whole = fetch(job["cdn_url"], tmp_path / "whole.mp4")
    assert whole.read_bytes() == made["V4_Preview"].videos["original"].read_bytes()


def test_a_scene_shows_itself_and_who_is_in_it(running_farm: RunningFarm, prepared: Prepared) -> None:
    scene = ready(running_farm, prepared.scenes["V3_Preview"])
    assert (scene["model"], scene["total_frames"], scene["width"]) == ("V3_Preview", FRAMES, SIZE[0])
    [lead] = scene["segments"]
    portrait = cv2.imdecode(
        np.frombuffer(requests.get(lead["thumbnail_url"], timeout=30).content, np.uint8), 1
    )
    assert portrait.shape[0] > portrait.shape[1], "somebody upright"


def test_finished_files_are_served_in_ranges_and_for_good(
    running_farm: RunningFarm, made: dict[str, Made]
) -> None:
    jobs = running_farm.get("/api/render", headers=running_farm.headers()).json()["jobs"]
    url = next(job["cdn_url"] for job in jobs if job["status"] == "complete")
    part = requests.get(url, headers={"Range": "bytes=100-199"}, timeout=30)
    assert part.status_code == 206 and len(part.content) == 100
    assert "immutable" in part.headers["Cache-Control"]


def test_a_real_clip_and_a_painted_character(
    running_farm: RunningFarm, real_media: Path, tmp_path: Path
) -> None:
    video = shortened(real_media / "host-desk.mp4", Fraction(2), tmp_path)
    job = ended(running_farm, submit(running_farm, real_media / "elf.jpg", video))
    assert job["status"] == "complete", job
    path = fetch(job["cdn_url"], tmp_path / "elf.mp4")
    facts, driver = judge.facts(path), judge.facts(video)
    assert (facts.width, facts.height, facts.rate, facts.frames) == (
        driver.width,
        driver.height,
        driver.rate,
        driver.frames,
    )
    assert abs(judge.sound_offset(path, video)) < 1 / driver.rate
    changed = [
        np.abs(a.astype(int) - b).max(axis=2) > SEEN
        for a, b in zip(judge.frames(path, EVERY), judge.frames(video, EVERY), strict=True)
    ]
    # The host stands in the right half; the board on the left is nobody's and stays.
    assert all(c[:, c.shape[1] // 2 :].mean() > 0.1 for c in changed)
    assert all(c[:, : c.shape[1] // 4].mean() < 0.01 for c in changed)
