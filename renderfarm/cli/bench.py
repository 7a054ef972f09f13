"""``farm bench``: how fast, in how much memory, and how good the picture is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.spec import Model
from renderfarm.cli.common import ROOT, as_json, emit, table
from renderfarm.local.errors import StackError
from renderfarm.local.interrupts import Interrupts
from renderfarm.trial.speed import NAMES as SPEEDS

#: Real clips beside the checkout; they are no part of it.
REAL = ROOT.parent / "shared" / "data"
#: Series of a soak that are told only where they grow.
_SMALL = (", files", ", threads")
#: The start and the end of the table in README.md.
MARKS = ("<!-- farm bench picture -->", "<!-- /farm bench picture -->")


@click.group()
def bench() -> None:
    """Measure the farm on this machine."""


@bench.command()
@click.option(
    "--model", type=click.Choice([m.value for m in Model]), default=Model.V4.value, show_default=True
)
@as_json
def demo(model: str, as_json: bool) -> None:
    """Time each stage of the sample's render."""
    samples = [str(ROOT / "samples" / name) for name in ("character.png", "driver.mp4")]
    measured = _measured("bench", *samples, "--model", model)

    def show() -> None:
        rows = [{"what": name, "value": value} for name, value in _flat(measured)]
        table(("what", "value"), rows)

    emit(measured, as_json, show)


@bench.command()
@click.option("--full", is_flag=True, help="Whole dances, harder characters, every real clip.")
@click.option("--seed", default=0, show_default=True, help="At which moments of the dance scenes begin.")
@click.option("--model", "models", multiple=True, type=click.Choice([m.value for m in Model]))
@click.option("--scene", "scenes", multiple=True, help="Only this scene; 'real' for the real clips.")
@click.option("--sheets", type=click.Path(file_okay=False), help="A folder to draw contact sheets into.")
@click.option("--readme", is_flag=True, help="Put the table into README.md.")
@as_json
def picture(
    full: bool,
    seed: int,
    models: tuple[str, ...],
    scenes: tuple[str, ...],
    sheets: str | None,
    readme: bool,
    as_json: bool,
) -> None:
    """Measure the picture where the truth is known, and on real clips where they are at hand."""
    options = [("--seed", str(seed)), *(("--model", name) for name in models)]
    options += [("--scene", name) for name in scenes]
    options += [("--sheets", sheets)] if sheets else []
    options += [("--real", str(REAL))] if REAL.is_dir() else []
    flags = ["--full"] if full else []
    measured = _measured("quality", *flags, *(part for option in options for part in option))
    rows = measured["table"]
    if readme:
        path = ROOT / "README.md"
        path.write_text(with_table(path.read_text(), rows))
    emit(measured, as_json, lambda: table(list(rows[0]) if rows else (), rows))


@bench.command()
@click.option(
    "--full", is_flag=True, help="Every kind, also the slow ones; 1,000 duels, 10,000 waiting jobs."
)
@click.option("--seed", default=0, show_default=True, help="Of the sample of kinds, and of the mixtures.")
@click.option("--only", multiple=True, metavar="WORDS", help="Only kinds with these words in their names.")
@click.option("--mixtures", default=1, show_default=True, help="How many mixtures, from seeds in a row.")
@click.option("--jobs", default=20, show_default=True, help="Jobs in a mixture.")
@click.option("--logs", is_flag=True, help="Print the processes' logs where something was wrong.")
@as_json
def faults(
    full: bool, seed: int, only: tuple[str, ...], mixtures: int, jobs: int, logs: bool, as_json: bool
) -> None:
    """Do harm to farms of real processes, and see whether they lose anything."""
    from renderfarm.trial.bench import Wish, run
    from renderfarm.trial.case import Finding

    def report(found: Finding) -> None:
        ends = ", ".join(f"{number} {how}" for how, number in sorted(found.ends.items()))
        notes = ", ".join(f"{what}: {figure:g}" for what, figure in found.notes.items())
        told = "; ".join(part for part in (ends, notes) if part)
        click.echo(
            f"{'FAILED' if found.wrong else 'ok':6} {found.seconds:6.1f} s  {found.name}  ({told})", err=True
        )
        for line in found.wrong:
            click.echo(f"         {line}", err=True)
        if logs and found.logs:
            click.echo(found.logs, err=True)

    wish = Wish(seed=seed, only=only, mixtures=mixtures, jobs=jobs, full=full)
    with Interrupts():
        found = run(wish, report)
    emit(found, as_json, lambda: click.echo(f"{found['survived']} of {found['tried']} survived"))
    if found["failed"]:
        sys.exit(1)


@bench.command()
@click.option("--files", type=int, help="How many; 2,000 unless told.")
@click.option("--seed", default=0, show_default=True, help="Of what is done to them.")
@click.option("--full", is_flag=True, help="10,000 files, and every tenth that is taken is rendered.")
@as_json
def hostile(files: int | None, seed: int, full: bool, as_json: bool) -> None:
    """Send spoilt videos and pictures through the door, and see whether anything gives."""
    from renderfarm.trial.ground import Ground
    from renderfarm.trial.hostile.bench import run

    number = files or (10_000 if full else 2_000)
    with Interrupts(), Ground.open() as ground:
        found = run(
            ground,
            number=number,
            seed=seed,
            render_every=10 if full else 20,
            report=lambda line: click.echo(line, err=True),
        )

    def show() -> None:
        table(("what", "value"), [{"what": what, "value": value} for what, value in _flat(found)])

    emit(found, as_json, show)
    if found["wrong"]:
        sys.exit(1)


def with_table(text: str, rows: Sequence[Mapping[str, str]]) -> str:
    """``text`` with ``rows`` as the table between its two marks; raises ``StackError`` without marks."""
    before, opened, rest = text.partition(MARKS[0])
    _, closed, after = rest.partition(MARKS[1])
    if not opened or not closed:
        raise StackError("README.md has no place for the table.", f"Write {MARKS[0]} and {MARKS[1]} there.")
    columns = list(rows[0]) if rows else []
    lines = [columns, ["---"] * len(columns), *([row.get(name, "") for name in columns] for row in rows)]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{before}{opened}\n{drawn}\n{closed}{after}"


def _measured(*arguments: str) -> dict[str, Any]:
    """What a command of the pipeline prints, run in a process of its own: the CLI loads no heavy library."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise StackError("The measurement failed.", "The lines above say why.")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _flat(data: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested figures as dotted names."""
    found: list[tuple[str, Any]] = []
    for name, value in data.items():
        path = f"{prefix}{name}"
        found += _flat(value, f"{path}.") if isinstance(value, dict) else [(path, value)]
    return found


@bench.command()
@click.option("--quick", is_flag=True, help="A sample in some minutes: fewer frames, jobs and rounds.")
@click.option("--only", multiple=True, type=click.Choice(SPEEDS), help="Only this; may be repeated.")
@as_json
def speed(quick: bool, only: tuple[str, ...], as_json: bool) -> None:
    """Measure what fast mode gains, how soon work begins, and what 10,000 waiting jobs cost."""
    from renderfarm.trial.speed.bench import measure

    with Interrupts():
        found = measure(
            only,
            quick=quick,
            real=REAL if REAL.is_dir() else None,
            tell=lambda line: click.echo(line, err=True),
        )
    rows = found.pop("rows")

    def show() -> None:
        table(("figure", "value", "must / goal", "verdict"), rows)
        for name, why in found["skipped"].items():
            click.echo(f"{name} was skipped: {why}")

    emit(found, as_json, show)
    if any(figure["met"] is False for figure in found["figures"]) and not quick:
        sys.exit(1)


@bench.command()
@click.option("--minutes", default=30.0, show_default=True, type=click.FloatRange(0.3), help="For how long.")
@click.option("--seed", default=0, show_default=True, help="Of what is ordered, and when.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw it into this PNG.")
@click.option("--logs", type=click.Path(file_okay=False, path_type=Path), help="Keep the farm's logs there.")
@as_json
def soak(minutes: float, seed: int, plot: Path | None, logs: Path | None, as_json: bool) -> None:
    """Let the local farm work for long, replace every process, and see whether it stays as it was."""
    from renderfarm.trial.soak.bench import run

    with Interrupts() as interrupts:
        found = run(
            interrupts, 60 * minutes, seed=seed, tell=lambda line: click.echo(line, err=True), logs=logs
        )
    if plot is not None:
        from renderfarm.trial.soak.plot import draw

        draw(found, plot)

    def show() -> None:
        table(("order", "number"), [{"order": what, "number": n} for what, n in found.orders.items()])
        table(
            ("what", "second quarter", "last quarter", "per hour", "peak", "verdict"),
            [each.to_json() for each in found.verdicts if each.wrong or not each.name.endswith(_SMALL)],
        )
        table(("count", "program", "level", "shape", "known"), [each.to_json() for each in found.said])
        for line in found.failures:
            click.echo(f"FAILED  {line}")
        click.echo("the farm stays as it was" if not found.failures else f"{len(found.failures)} failures")

    emit(found.to_json(), as_json, show)
    if found.failures:
        sys.exit(1)
