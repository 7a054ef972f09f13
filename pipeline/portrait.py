"""Small pictures to know a character or a scene by: one of the whole, and one of each person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.ffmpeg import read_chosen
from pipeline.protocol import Done, Progress, Report, Request
from pipeline.spec import VideoInfo

#: The longest side of each, in pixels.
SIDE = 512
_QUALITY = 85
#: What shows through where a character's picture is see-through.
_PAPER = 255

#: Left, top, right, bottom of a person in a frame of that number, in pixels.
Seen = tuple[int, tuple[float, float, float, float]]


def portray(request: Request, report: Report) -> Done:
    """``thumbnail`` and, of a scene, ``portrait-0000`` and on: its people in order, the lead first.

    Inputs: ``picture`` of a character, or ``video`` and ``tracks`` of a scene. All of them are JPEGs.
    """
    if request.video is None or "tracks" not in request.inputs:
        return portray_picture(request, report)
    from pipeline.perception.bodies import box_of
    from pipeline.perception.tracks import Tracks

    seen: list[Seen] = []
    for person in Tracks.load(request.inputs["tracks"]).people:
        at = np.flatnonzero(person.present)
        # In the middle of their time they are in the picture for sure, and not just walking into it.
        number = int(at[len(at) // 2])
        seen.append((number, box_of(person.joints[number])))
    return portray_people(request, report, seen)


def portray_picture(request: Request, report: Report) -> Done:
    """``thumbnail`` of a character's picture."""
    from pipeline.character.picture import read_picture

    pixels, alpha = read_picture(request.inputs["picture"])
    if alpha is not None:
        share = alpha[..., None] / 255.0
        pixels = (pixels * share + _PAPER * (1 - share)).round().astype(np.uint8)
    path = _write(pixels, request.out / "thumbnail.jpg")
    report(Progress(1, 1))
    return Done({"thumbnail": path})


def portray_people(request: Request, report: Report, seen: list[Seen]) -> Done:
    """``thumbnail`` of the video's middle, and a portrait of each who is ``seen``."""
    video = request.video
    assert video is not None
    middle = video.frames // 2
    numbers = sorted({middle, *(number for number, _ in seen)})
    frames = dict(zip(numbers, read_chosen(request.inputs["video"], video, numbers), strict=True))
    files = {"thumbnail": _write(frames[middle], request.out / "thumbnail.jpg")}
    for place, (number, box) in enumerate(seen):
        name = f"portrait-{place:04}"
        files[name] = _write(_cut(frames[number], box, video), request.out / f"{name}.jpg")
    report(Progress(1, 1))
    return Done(files)


def _cut(
    frame: NDArray[np.uint8], box: tuple[float, float, float, float], video: VideoInfo
) -> NDArray[np.uint8]:
    """The box's part of the frame; the whole frame where none of it is in the picture."""
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    right, bottom = min(video.width, int(box[2]) + 1), min(video.height, int(box[3]) + 1)
    return frame[top:bottom, left:right] if left < right and top < bottom else frame


def _write(pixels: NDArray[np.uint8], path: Path) -> str:
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    picture.save(path, "JPEG", quality=_QUALITY)
    return str(path)
