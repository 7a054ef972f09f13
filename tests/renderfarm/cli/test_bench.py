"""``farm bench``: what it prints, and where it writes."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from renderfarm.cli import main
from renderfarm.cli.bench import MARKS, with_table
from renderfarm.cli.common import ROOT
from renderfarm.local.errors import StackError

ROWS = [
    {"number": "AKD", "V3": "0.050", "must": "0.060"},
    {"number": "ghost", "V3": "0.10%, worst 0.20% in pair"},
]


def test_the_table_takes_the_place_of_the_one_before() -> None:
    text = f"# Title\n{MARKS[0]}\n| old |\n{MARKS[1]}\nThe end.\n"
    table = "| number | V3 | must |\n| --- | --- | --- |\n| AKD | 0.050 | 0.060 |\n"
    table += "| ghost | 0.10%, worst 0.20% in pair |  |"
    once = with_table(text, ROWS)
    assert once == f"# Title\n{MARKS[0]}\n{table}\n{MARKS[1]}\nThe end.\n"
    assert with_table(once, ROWS) == once


def test_the_readme_has_a_place_for_it() -> None:
    assert all(mark in (ROOT / "README.md").read_text() for mark in MARKS)
    with pytest.raises(StackError, match="no place"):
        with_table("# Title\n", ROWS)


def test_a_scene_that_does_not_exist_is_refused() -> None:
    result = CliRunner().invoke(main, ["bench", "picture", "--scene", "nowhere"])
    assert result.exit_code == 1
    assert "measurement failed" in result.stderr
