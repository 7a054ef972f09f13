"""The commands of the pipeline alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.__main__ import main

PICTURE = Path(__file__).parents[2] / "samples" / "character.png"


@pytest.mark.parametrize(
    "command",
    [
        ["render", str(PICTURE), "VIDEO", "-o", "OUT"],
        ["people", "VIDEO"],
        ["sheet", "VIDEO", "-o", "OUT"],
        ["bench", str(PICTURE), "VIDEO"],
    ],
    ids=lambda command: command[0],
)
def test_a_file_that_is_no_video_is_told_in_one_line_with_its_code(
    command: list[str], tmp_path: Path
) -> None:
    files = {"VIDEO": tmp_path / "notes.mp4", "OUT": tmp_path / "out"}
    files["VIDEO"].write_text("This is a text and no video.")
    result = CliRunner().invoke(main, [str(files.get(word, word)) for word in command])
    assert result.exit_code == 1
    assert result.stderr.startswith("CS-ORIV-003: ") and result.stderr.count("\n") == 1
    assert not files["OUT"].exists()


@pytest.mark.parametrize("cast", [[], ["person_0000000a=0"], ["person_0000000a=0", "person_0000000b=2"]])
def test_a_picture_that_nobody_plays_and_a_part_without_a_picture_are_told(
    cast: list[str], tmp_path: Path
) -> None:
    parts = [word for each in cast for word in ("--cast", each)]
    arguments = ["render", str(PICTURE), str(PICTURE), str(PICTURE), "-o", str(tmp_path / "out"), *parts]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "--cast says which of the pictures" in result.stderr
