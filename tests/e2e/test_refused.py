"""What cannot be rendered is told so, costs nothing and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import SAMPLES, RunningFarm
from tests.e2e.test_render import ended, submit
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def credits(farm: RunningFarm) -> tuple[int, int]:
    answer = farm.get("/api/credits", headers=farm.headers()).json()
    return answer["balance"], answer["held"]


def test_a_video_without_a_person_fails_and_costs_nothing(
    running_farm: RunningFarm, real_media: Path
) -> None:
    before = credits(running_farm)
    job_id = submit(running_farm, SAMPLES / "character.png", real_media / "bird.mp4", model="V3_Preview")
    job = ended(running_farm, job_id)
    assert (job["status"], job["error_code"]) == ("failed", "CS-UORC01-101")
    assert job["error_message"] and job["cdn_url"] is None
    assert credits(running_farm) == before


def test_a_picture_without_a_character_fails_and_leaves_nothing(
    running_farm: RunningFarm, tmp_path: Path
) -> None:
    before = credits(running_farm)
    noise = np.random.default_rng(1).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    job_id = submit(running_farm, tmp_path / "noise.png", SAMPLES / "driver.mp4")
    job = ended(running_farm, job_id)
    assert (job["status"], job["error_code"]) == ("failed", "CS-UORC01-102")
    assert credits(running_farm) == before
    work = running_farm.home / "work"
    until(lambda: not [path for path in work.rglob("*") if path.is_file() and job_id in str(path)], 30)


def test_a_cancelled_render_stops_and_gives_its_credits_back(running_farm: RunningFarm) -> None:
    before = credits(running_farm)
    job_id = submit(running_farm, SAMPLES / "character.png", SAMPLES / "driver.mp4")
    assert credits(running_farm) == (before[0] - 6, before[1] + 6)
    done = running_farm.farm("job", job_id, "--cancel")
    assert done.returncode == 0, done.stderr
    assert ended(running_farm, job_id)["status"] == "cancelled"
    assert credits(running_farm) == before
