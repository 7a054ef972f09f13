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
