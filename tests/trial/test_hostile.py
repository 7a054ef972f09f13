"""Spoilt files through the door, some of them; all are sent by ``farm bench hostile``."""

from __future__ import annotations

from pathlib import Path

from renderfarm.trial.ground import Ground
from renderfarm.trial.hostile import bench
from renderfarm.trial.hostile.case import case
from renderfarm.trial.hostile.seeds import make


def test_spoilt_files_are_refused_by_a_code_or_rendered_and_nothing_is_left(ground: Ground) -> None:
    found = bench.run(ground, number=12, seed=7, render_every=5, report=lambda _: None)
    assert found["wrong"] == []
    assert sum(found["answers"].values()) == 13
    assert {"202", "400 CS-ORIV-007"} <= set(found["answers"])
    assert sum(found["rendered"].values()) > 0


def test_a_case_is_the_same_for_the_same_seed_and_another_for_another(tmp_path: Path) -> None:
    seeds = make(tmp_path)
    again = [case(seeds, 3, number) for number in range(60)]
    assert again == [case(seeds, 3, number) for number in range(60)]
    assert again != [case(seeds, 4, number) for number in range(60)]
    good = {*seeds.clips.values(), *seeds.pictures.values()}
    untouched = sum({each.picture[1], each.video[1]} <= good for each in again)
    assert untouched <= 3  # what was done may do nothing
