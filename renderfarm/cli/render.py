"""``farm render`` and ``farm demo``: a picture and a video in, the performance out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.spec import Background, Model
from renderfarm.cli.common import ROOT, SOURCE, client, home
from renderfarm.client import ClientError, Estimate, error_of
from renderfarm.local.errors import StackError

if TYPE_CHECKING:
    from rich.progress import Progress

    from renderfarm.client import Client, Job


@click.command()
@click.argument("files", nargs=-1, type=SOURCE)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the video goes.")
@click.option("--character", help="A ready character's id, in place of the picture.")
@click.option("--scene", help="A ready scene's id, in place of the video.")
@click.option("--map", "pairs", multiple=True, metavar="PERSON=CHARACTER", help="Who of the scene is whom.")
@click.option("--model", type=click.Choice([m.value for m in Model]), help="Default: V4, or the scene's.")
@click.option("--background", type=click.Choice([b.value for b in Background]), help="Default: original.")
@click.option("--bg-color", default="0,255,0", show_default=True, help="R,G,B for a solid background.")
@click.option("--fast", is_flag=True, help="On all workers at once, at twice the price.")
@click.option("--webhook", help="An address that is told what becomes of it.")
@click.option("--no-wait", is_flag=True, help="Print the job's id, and do not follow it.")
@click.option(
    "--estimate", is_flag=True, help="Print what it would cost and when it would be there; send nothing."
)
def render(
    files: tuple[Path | str, ...],
    output: Path | None,
    character: str | None,
    scene: str | None,
    pairs: tuple[str, ...],
    no_wait: bool,
    estimate: bool,
    **options: Any,
) -> None:
    """Let a character perform a video, on the farm: FILES are the picture and the video.

    Each is a file, or an address that the farm fetches by itself.
    What --character, --map or --scene stands for is left out of FILES. A transparent background also writes
    the mask beside OUTPUT (name.mask.mp4). Ctrl-C cancels the job.
    """
    if estimate:
        _estimate(scene, files[-1] if files else None, options["model"], options["fast"])
        return
    left = list(files)
    picture = character or (None if pairs or not left else left.pop(0))
    video = scene or (left.pop(0) if left else None)
    if left or not video or not (picture or pairs):
        raise click.UsageError("Give a picture and a video, or what stands for them.")
    if not (output or no_wait):
        raise click.UsageError("Say where the video goes (-o), or --no-wait.")
    names = {"background": "background_mode", "webhook": "webhook_url"}
    fields = {names.get(name, name): str(value) for name, value in options.items() if value}
    if pairs:
        fields["character_mapping"] = json.dumps(dict(_pair(each) for each in pairs))
    with client() as api:
        if output is None:
            click.echo(api.submit(picture, video, fields)["job_id"])
            return
        made = run(api, picture, video, output, fields)
    for path in made:
        click.echo(path)


def _estimate(scene: str | None, video: Path | str | None, model: str | None, fast: bool) -> None:
    """Print what a render of the scene, or of the video, would cost, and when it would be there."""
    if not (scene or isinstance(video, Path)):
        raise click.UsageError("Give a video's file or a --scene.")
    length = _length(video) if isinstance(video, Path) and not scene else {}
    with client() as api:
        found = api.estimate(scene_id=scene or "", model=model or "", fast=fast, **length)
    for name in Estimate.__annotations__:
        value = found[name]  # type: ignore[literal-required]  # the names are its own
        if value is None or isinstance(value, bool):  # and not the numbers that are equal to these
            value = {None: "not known", True: "yes", False: "no"}[value]
        click.echo(f"{name.replace('_', ' '):>23}  {value}")


def _length(video: Path) -> dict[str, float]:
    from pipeline.errors import MediaError
    from pipeline.ffmpeg.probe import inspect

    try:
        info = inspect(video).info
    except MediaError as error:
        raise StackError(f"{video} cannot be read: {error}", "Give a video.") from error
    return {"duration_seconds": info.duration, "fps": float(info.rate)}


def _pair(text: str) -> tuple[str, str]:
    person, _, character = text.partition("=")
    if not (person and character):
        raise click.UsageError(f"--map {text!r} is not PERSON=CHARACTER.")
    return person, character


@click.command()
@click.option("--keep", is_flag=True, help="Leave the farm running.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: .farm/demo.mp4"
)
def demo(keep: bool, output: Path | None) -> None:
    """Render the sample, on a running farm or on one started for it."""
    from renderfarm.local.interrupts import Interrupts
    from renderfarm.local.stack import Stack

    picture, video = ROOT / "samples" / "character.png", ROOT / "samples" / "driver.mp4"
    if not (picture.exists() and video.exists()):
        raise StackError("The samples are not here.", "Run it in a checkout of the farm.")
    target = output or home().root / "demo.mp4"
    began = time.monotonic()
    stack = Stack(home(), os.environ)
    with Interrupts() as interrupts:
        try:
            state = stack.start(interrupts, say=lambda text: click.echo(f"{text} ...", err=True))
            with client(state.api_url) as api:
                (path,) = run(api, picture, video, target, {})
            kept = keep or not stack.owned
        except BaseException:
            if stack.owned:
                click.echo("stopping the farm ...", err=True)
                stack.stop(interrupts.hurried)
            raise
        if not kept:
            stack.stop(interrupts.hurried)
    click.echo(f"done in {time.monotonic() - began:.0f} s", err=True)
    click.echo(path.resolve())
    if kept:
        click.echo(state.api_url)


def run(
    api: Client,
    picture: Path | str | None,
    video: Path | str | None,
    output: Path,
    fields: dict[str, str],
) -> list[Path]:
    """Send the job, show how far it is, fetch what it made; answers the files. Ctrl-C cancels the job."""
    if not output.absolute().parent.is_dir():  # told now, not after the credits are spent
        raise StackError(f"There is no folder {output.parent}.", "Make it, or write elsewhere.")
    job_id = api.submit(picture, video, fields)["job_id"]
    click.echo(job_id, err=True)
    try:
        job = _watch(api, job_id)
    except KeyboardInterrupt:
        _cancel(api, job_id)
        raise
    if (error := error_of(job)) is not None:
        raise error
    for note in job["notes"]:
        click.echo(note, err=True)
    wanted = {output: job["cdn_url"], output.with_suffix(".mask.mp4"): job["mask_cdn_url"]}
    files = [(path, url) for path, url in wanted.items() if url]
    for path, url in files:
        api.download(url, path)
    return [path for path, _ in files]


def _watch(api: Client, job_id: str) -> Job:
    """Follow the job with a bar on stderr; answers it as it ended."""
    with _bar() as bar:
        task = bar.add_task("queued", total=100)
        for job in api.follow(job_id):
            progress = job["progress"]
            place = f" (place {job['queue_position']})" if job["queue_position"] else ""
            stage = progress["stage"] if job["status"] == "processing" else f"{job['status']}{place}"
            bar.update(task, description=stage, completed=progress["pct"])
    return job


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<20}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield bar


def _cancel(api: Client, job_id: str) -> None:
    try:
        api.cancel(job_id)
    except ClientError as error:
        click.echo(f"{job_id} was not cancelled: {error}", err=True)
    else:
        click.echo(f"Cancelled {job_id}; its credits were given back.", err=True)
