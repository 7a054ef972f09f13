"""Contact sheets: what each stage made of a video, a few frames side by side, for the eye to judge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import OutOfLimits
from pipeline.ffmpeg import probe, read_frames
from pipeline.perception.mattes import mattes
from pipeline.perception.tracks import BONES, Person, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Request
from pipeline.render import stages_of
from pipeline.spec import Model, RenderSpec, Span, Stage, VideoInfo, plan_for

if TYPE_CHECKING:
    import torch

Frame = NDArray[np.uint8]

_COLUMNS = 6
#: Pixels: the width of one picture on the sheet, the gap between them, the strip for the rows' names.
_WIDTH, _GAP, _STRIP = 320, 4, 88
#: What the matte's row shows where nobody is.
_BACKDROP = (0, 150, 70)
_PAPER = 24


def make_sheet(
    video: Path,
    output: Path,
    picture: Path | None = None,
    rendered: Path | None = None,
    model: Model = Model.V4,
) -> None:
    """Write a PNG with the rows driver, pose, matte, plate and, where there is one, output.

    The output is ``rendered``, a finished video of as many frames; or is rendered here from
    ``picture``. Raises a ``PipelineError``.
    """
    with tempfile.TemporaryDirectory(prefix="sheet-") as folder:
        files: dict[str, Path] = {}
        wanted = [picture] if picture and not rendered else []
        for _, made, _ in stages_of(wanted, video, RenderSpec(model), Path(folder)):
            files |= made
        rows = _rows(video, files, rendered or files.get("output"))
        draw_rows(rows, output)


def _rows(video: Path, files: dict[str, Path], rendered: Path | None) -> dict[str, list[Frame]]:
    info = probe(video)
    size = _WIDTH, max(2, round(_WIDTH * info.height / info.width))
    numbers = [round((info.frames - 1) * (column + 0.5) / _COLUMNS) for column in range(_COLUMNS)]
    tracks, plate = Tracks.load(files["tracks"]), Plate.load(files["plate"])
    driver = list(_picked(read_frames(video, info, size=size), numbers))
    mattes = list(_picked(_mattes(files, tracks, info), numbers))
    rows = {
        "driver": driver,
        "pose": [
            _posed(frame, tracks.people, number, info) for frame, number in zip(driver, numbers, strict=True)
        ],
        "matte": [_cut_out(frame, matte) for frame, matte in zip(driver, mattes, strict=True)],
        "plate": [_resized(plate.frame(number), size) for number in numbers],
    }
    if rendered is not None:
        made = probe(rendered)
        if made.frames != info.frames:
            raise OutOfLimits(f"{rendered.name} has {made.frames} frames, the driving video {info.frames}")
        rows["output"] = list(_picked(read_frames(rendered, made, size=size), numbers))
    return rows


def _mattes(files: dict[str, Path], tracks: Tracks, info: VideoInfo) -> Iterator[Frame]:
    request = Request(Stage.SEGMENT, RenderSpec(), plan_for(tracks.model), Path(), files, info)
    return mattes(request, Span(0, 0, info.frames), tracks)


def _picked(frames: Iterator[Frame], numbers: list[int]) -> Iterator[Frame]:
    """Those of ``frames`` whose numbers are asked for, as often as they are."""
    for number, frame in enumerate(frames):
        for _ in range(numbers.count(number)):
            yield frame


def _posed(frame: Frame, people: tuple[Person, ...], number: int, info: VideoInfo) -> Frame:
    import torch
    from torchvision.utils import draw_keypoints

    picture = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
    scale = np.array([frame.shape[1] / info.width, frame.shape[0] / info.height], np.float32)
    for person in people:
        if person.present[number]:
            joints = torch.from_numpy(person.joints[number])
            picture = draw_keypoints(
                picture,
                (joints[None, :, :2] * torch.from_numpy(scale)),
                connectivity=[(int(a), int(b)) for a, b in BONES],
                visibility=joints[None, :, 3] > 0.5,
                colors="yellow",
                radius=2,
                width=2,
            )
    return np.asarray(picture.permute(1, 2, 0).numpy(), np.uint8)


def _cut_out(frame: Frame, matte: Frame) -> Frame:
    alpha = _resized(matte, (frame.shape[1], frame.shape[0]))[..., None] / 255.0
    return np.asarray(np.rint(frame * alpha + (1 - alpha) * np.array(_BACKDROP)), np.uint8)


def _resized(picture: Frame, size: tuple[int, int]) -> Frame:
    """``picture`` (H, W[, 3]) at ``size`` = (width, height)."""
    import torch
    from torchvision.transforms.v2 import functional

    planes = torch.from_numpy(np.array(picture)).reshape(*picture.shape[:2], -1).permute(2, 0, 1)
    small = functional.resize(planes, [size[1], size[0]], antialias=True).permute(1, 2, 0).numpy()
    return np.asarray(small.reshape(size[1], size[0], *picture.shape[2:]), np.uint8)


def draw_rows(rows: dict[str, list[Frame]], output: Path) -> None:
    """Write a PNG of named rows of pictures, all of one size and equally many in each row."""
    import torch
    from PIL import Image, ImageDraw, ImageFont
    from torchvision.utils import make_grid

    cells: list[torch.Tensor] = [
        torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
        for frames in rows.values()
        for frame in frames
    ]
    grid = (
        make_grid(cells, nrow=len(next(iter(rows.values()))), padding=_GAP, pad_value=_PAPER)
        .permute(1, 2, 0)
        .numpy()
    )
    sheet = Image.new("RGB", (grid.shape[1] + _STRIP, grid.shape[0]), (_PAPER, _PAPER, _PAPER))
    sheet.paste(Image.fromarray(grid), (_STRIP, 0))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=18)
    height = (grid.shape[0] - _GAP) / len(rows)
    for number, name in enumerate(rows):
        pen.text((_GAP * 2, (number + 0.5) * height), name, fill="white", font=font, anchor="lm")
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(output, format="PNG")
