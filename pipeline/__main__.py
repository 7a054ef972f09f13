"""``python -m pipeline``: the pipeline alone, without a farm."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pipeline import weights
from pipeline.errors import PipelineError
from pipeline.spec import Background, Model, RenderSpec
from pipeline.threads import fix_environment


def parse_color(text: str) -> tuple[int, int, int]:
    """``"R,G,B"`` with 0-255 each; raises ``ValueError``."""
    parts = [int(part) for part in text.split(",")]
    if len(parts) != 3 or not all(0 <= part <= 255 for part in parts):
        raise ValueError(f"{text!r} is not R,G,B with 0-255 each")
    return parts[0], parts[1], parts[2]


def _color(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, int, int]:
    try:
        return parse_color(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _cast(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    cast: dict[str, int] = {}
    for value in values:
        person, _, number = value.partition("=")
        if not number.isdecimal() or person in cast:
            raise click.BadParameter(f"{value!r} is not PERSON=N, or names somebody twice")
        cast[person] = int(number)
    return tuple(cast.items())


@contextmanager
def _told() -> Iterator[None]:
    """Tell a ``PipelineError`` in one line, and exit with 1."""
    try:
        yield
    except PipelineError as error:
        click.echo(f"{error.code}: {error}", err=True)
        sys.exit(1)


@click.group()
def main() -> None:
    """Render, perceive and judge, without a farm."""
    fix_environment()
    folder = os.environ.get("FARM_WEIGHTS")
    weights.look_in(Path(folder) if folder else None)


@main.command()
@click.argument(
    "pictures", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.argument("video", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--model", type=click.Choice([m.value for m in Model]), default=Model.V4.value, show_default=True
)
@click.option(
    "--background", type=click.Choice([b.value for b in Background]), default="original", show_default=True
)
@click.option("--bg-color", default="0,255,0", callback=_color, help="R,G,B for a solid background.")
@click.option(
    "--cast",
    multiple=True,
    callback=_cast,
    metavar="PERSON=N",
    help="Who is played by PICTURES' Nth, from 0; may be repeated.",
)
def render(
    pictures: tuple[Path, ...],
    video: Path,
    output: Path,
    model: str,
    background: str,
    bg_color: tuple[int, int, int],
    cast: tuple[tuple[str, int], ...],
) -> None:
    """Let the characters of PICTURES perform VIDEO.

    One picture plays the lead. For several, `people` says who is in the video, and --cast who plays
    whom; people left out keep their own looks. A transparent background also writes OUTPUT's mask
    beside it (name.mask.mp4).
    """
    from pipeline.render import render as run

    played = {number for _, number in cast} or {0}
    if played != set(range(len(pictures))):
        raise click.UsageError(
            "--cast says which of the pictures (from 0) plays whom; each has to play somebody."
        )
    spec = RenderSpec(Model(model), Background(background), bg_color, cast)
    with _told():
        run(pictures, video, output, spec)
    click.echo(output)


@main.command()
@click.argument("video", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model", type=click.Choice([m.value for m in Model]), default=Model.V4.value, show_default=True
)
def people(video: Path, model: str) -> None:
    """Name the people of VIDEO, the lead first, as JSON: who they are to --cast, where and when they are seen."""
    from pipeline.render import people_in

    with _told():
        click.echo(json.dumps(people_in(video, Model(model)), indent=2))


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def samples(folder: Path) -> None:
    """Make the samples (two characters, a driving video) and their truth in FOLDER."""
    from pipeline.samples import make

    for path in make(folder):
        click.echo(path)


@main.command()
@click.argument("video", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--picture", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Render it, too."
)
@click.option(
    "--rendered", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A finished output."
)
@click.option(
    "--model", type=click.Choice([m.value for m in Model]), default=Model.V4.value, show_default=True
)
def sheet(video: Path, output: Path, picture: Path | None, rendered: Path | None, model: str) -> None:
    """Draw a contact sheet of VIDEO: driver, pose, matte, plate, output."""
    from pipeline.sheet import make_sheet

    with _told():
        make_sheet(video, output, picture=picture, rendered=rendered, model=Model(model))
    click.echo(output)


@main.command()
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("video", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model", type=click.Choice([m.value for m in Model]), default=Model.V4.value, show_default=True
)
@click.option(
    "--memory",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Also the peaks for so many seconds of VIDEO, looped; the last given is compared with the first.",
)
def bench(picture: Path, video: Path, model: str, memory: tuple[int, ...]) -> None:
    """Time each stage of a render and print JSON."""
    from pipeline.bench import bench as run

    with _told():
        click.echo(json.dumps(run(picture, video, Model(model), memory), indent=2))


@main.command()
@click.option("--full", is_flag=True, help="Whole dances, harder characters, every real clip.")
@click.option("--seed", default=0, show_default=True, help="At which moments of the dance scenes begin.")
@click.option("--model", "models", multiple=True, type=click.Choice([m.value for m in Model]))
@click.option("--scene", "only", multiple=True, help="Only this made scene, or 'real'.")
@click.option(
    "--real", type=click.Path(file_okay=False, path_type=Path), help="The folder of the real clips."
)
@click.option(
    "--sheets", type=click.Path(file_okay=False, path_type=Path), help="Where to draw contact sheets."
)
def quality(
    full: bool,
    seed: int,
    models: tuple[str, ...],
    only: tuple[str, ...],
    real: Path | None,
    sheets: Path | None,
) -> None:
    """Measure the picture on scenes whose truth is known, and on real clips; print JSON."""
    from pipeline.quality.bench import measure

    chosen = [Model(name) for name in models] or list(Model)
    try:
        found = measure(
            full=full,
            seed=seed,
            models=chosen,
            only=only,
            real=real,
            sheets=sheets,
            tell=lambda what: click.echo(what, err=True),
        )
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    click.echo(json.dumps(found, indent=2))


@main.command()
@click.option(
    "--engine", default="", metavar="ENGINE", help="Draw with fixed:ms=N[,mark=WORD], for development."
)
def serve(engine: str) -> None:
    """Run the stages that are asked for on standard input, one JSON object a line."""
    from pipeline.choice import chosen
    from pipeline.serve import serve as run

    try:
        fixed = chosen(engine)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--engine") from error
    run(fixed=fixed)


if __name__ == "__main__":
    main()
