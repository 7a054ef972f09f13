"""``farm sheet``: a contact sheet, to look at a render with one's own eyes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from renderfarm.cli.common import settings, transaction
from renderfarm.errors import FarmError
from renderfarm.local.errors import StackError


@click.command()
@click.argument("job_or_video")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--picture",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Render VIDEO with it, too.",
)
def sheet(job_or_video: str, output: Path, picture: Path | None) -> None:
    """Draw the driver, pose, matte, plate and output of a job, or of a video file."""
    video = Path(job_or_video)
    if video.is_file():
        _draw(video, output, ["--picture", str(picture)] if picture else [])
        return
    with tempfile.TemporaryDirectory(prefix="renderfarm-sheet-") as scratch:
        source, rendered, model = _files_of(job_or_video, Path(scratch))
        _draw(source, output, ["--rendered", str(rendered), "--model", model])


def _files_of(job_id: str, scratch: Path) -> tuple[Path, Path, str]:
    """The job's video and output, and its model."""
    from renderfarm import listing
    from renderfarm.storage import StorageError, open_storage

    with transaction() as session:
        job = listing.get(session, job_id)
        if job is None:
            raise FarmError("CS-UORC01-110", f"{job_id!r} is neither a file nor a job.")
        if job.status == "complete" and not {"output", "video"} <= {*job.outputs, *job.inputs}:
            raise FarmError("CS-UORC01-125", f"The files of {job_id} were deleted.")
        if "output" not in job.outputs:
            raise StackError(f"{job_id} has no output: it is {job.status}.", "Take a job that is complete.")
        source, rendered, model = job.inputs["video"], job.outputs["output"], job.model
    store = open_storage(settings())
    try:
        return store.fetch(source, scratch), store.fetch(rendered, scratch), model
    except StorageError as error:
        raise StackError(f"A file of {job_id} cannot be read: {error}", "It may be past its time.") from error


def _draw(video: Path, output: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "pipeline", "sheet", str(video), "-o", str(output), *options]
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise StackError("The sheet could not be drawn.", "The lines above say why.")
