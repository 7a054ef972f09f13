"""What a stored scene is known by: a picture of the whole, and one of each of its people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.spec import Stage
from pipeline.stages import run
from tests.pipeline.scenes import HEIGHT, WIDTH
from tests.pipeline.test_cast import Two


def test_each_person_of_a_scene_is_shown_where_they_are_seen_in_the_order_of_the_tracks(
    tmp_path: Path,
) -> None:
    scene = Two()
    request = scene.request(tmp_path)
    wanted = {name: request.inputs[name] for name in ("video", "tracks")}
    done = run(replace(request, stage=Stage.PORTRAIT, inputs=wanted), lambda _: None)
    assert set(done.files) == {"thumbnail", "portrait-0000", "portrait-0001"}
    whole, walker, stander = (
        np.asarray(Image.open(request.out / done.files[name])).astype(float)
        for name in ("thumbnail", "portrait-0000", "portrait-0001")
    )
    assert whole.shape == (HEIGHT, WIDTH, 3)
    assert walker.shape[1] < WIDTH / 2 > stander.shape[1]
    green = (stander[..., 1] - stander[..., 0] > 80).mean()
    assert green > 0.4, "the stander is green, and fills the portrait"
    assert (walker.sum(axis=2) < 150).mean() > 0.4, "the walker is dark, and fills theirs"
