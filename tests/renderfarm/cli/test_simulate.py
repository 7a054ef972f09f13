"""``farm simulate``: what it prints, what it reads, and what it draws."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from renderfarm.cli import main
from renderfarm.cli.common import ROOT

SMALL = ("--jobs-per-hour", "60", "--hours", "1", "--seconds", "10")


def simulate(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["simulate", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def figures(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(simulate(*arguments, "--json"))
    return found


def test_it_tells_waits_pools_and_cost_and_draws_them(tmp_path: Path) -> None:
    said = simulate(*SMALL, "--v3", 2, "--v4", "0..4", "--share-fast", 0.3, "--plot", tmp_path / "p.png")
    for word in ("wait p95", "within 60 s", "V3", "fast", "utilisation", "refused", "a minute"):
        assert word in said
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 50


def test_options_go_over_the_file_and_the_file_over_the_engine(tmp_path: Path) -> None:
    (tmp_path / "farm.toml").write_text(
        "seed = 5\n[pools.v4]\nleast = 3\n[demand]\naccounts = 9\n[costs.v4.segment]\nframe = 1.5\n"
    )
    own = figures(tmp_path / "farm.toml", *SMALL, "--accounts", 7, "--engine", "gpu")["scenario"]
    assert (own["seed"], own["pools"]["v4"]["least"], own["demand"]["accounts"]) == (5, 3, 7)
    assert own["costs"]["v4"]["segment"] == {"unit": 1.0, "span": 0, "frame": 1.5}
    assert figures(*SMALL, "--frames", "10,4")["scenario"]["costs"]["v4"]["segment"]["frame"] == 0.25


def test_orders_may_come_from_a_file(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("at,model,seconds,fast,account\n0,v3,10,no,a\n60,V4_Preview,20,,b\n5,v4,10,yes,a\n")
    found = figures("--trace", trace, "--v4", 4, "--share-fast", 0)
    assert (found["jobs"], found["waits"]["V3"]["jobs"], found["waits"]["fast"]["jobs"]) == (3, 1, 1)
    assert found["video_minutes"] == pytest.approx(40 / 60, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--v4", "many"), "0..20"),
        (("--profile", "1,a"), "not numbers"),
        (("--v4", "0"), "never be a worker"),
        (("--seconds", "0"), "demand.seconds"),
    ],
)
def test_what_cannot_be_meant_is_told(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(main, ["simulate", *SMALL, *arguments])
    assert result.exit_code != 0
    assert said in result.stderr


def test_a_farm_that_takes_no_job_is_told_so() -> None:
    alone = ("--share-fast", "1", "--v3", "1", "--v4", "1")
    result = CliRunner().invoke(main, ["simulate", *SMALL, *alone])
    assert result.exit_code == 1
    assert "every job is fast, and none of them finds two free workers" in result.stderr


def test_a_file_with_strange_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("at,colour\n0,red\n")
    result = CliRunner().invoke(main, ["simulate", "--trace", str(tmp_path / "trace.csv")])
    assert result.exit_code == 1
    assert "colour" in result.stderr


def test_the_commands_of_the_sizing_page_are_such_as_can_be_given() -> None:
    page = (ROOT / "deploy" / "sizing.md").read_text()
    day = re.search(r"^DAY=(.*)$", page, re.MULTILINE)
    commands = re.findall(r"`\./farm simulate (-.*?)`", page)
    assert day is not None
    assert len(commands) > 5
    for command in commands:
        arguments = command.replace("$DAY", day[1]).split()
        assert figures(*arguments, "--jobs-per-hour", 30, "--hours", 1)["jobs"] > 0  # the last one counts


def test_the_command_line_loads_none_of_it() -> None:
    heavy = {"simpy", "matplotlib", "numpy", "pydantic", "renderfarm.simulate.farm"}
    program = f"import sys, renderfarm.cli; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
