"""Contact sheets of what was judged: driver, ideal and output, one below the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import probe, read_frames
from pipeline.quality.film import Film
from pipeline.quality.joints import Floats, Marks, found
from pipeline.quality.known import Known
from pipeline.sheet import draw_rows

Frame = NDArray[np.uint8]
_COLUMNS, _WIDTH = 5, 480


def made_sheet(known: Known, film: Film, worst: int, path: Path) -> None:
    """The rows driver, ideal, output, both and plate; the last column is the frame ``worst``.

    In the row "both" the output is red and the ideal is blue and green: where they agree it is gray.
    """
    frames = known.scene.play.frames
    numbers = [*(round((frames - 1) * i / (_COLUMNS - 2)) for i in range(_COLUMNS - 1)), worst]
    rows = {
        "driver": _small(_picked(known.video, numbers)),
        "ideal": _small(_picked(known.ideal, numbers)),
        "output": _small(_picked(film.output, numbers)),
        "plate": _small(film.plate.frame(n) for n in sorted(numbers)),
    }
    rows["plate"] = [rows["plate"][sorted(numbers).index(n)] for n in numbers]
    gray = [[frame.mean(axis=2).astype(np.uint8) for frame in rows[name]] for name in ("output", "ideal")]
    rows["both"] = [np.dstack([a, b, b]) for a, b in zip(*gray, strict=True)]
    draw_rows(rows, path)


def _picked(video: Path, numbers: Sequence[int]) -> list[Frame]:
    kept = {n: frame for n, frame in enumerate(read_frames(video, probe(video))) if n in numbers}
    return [kept[n] for n in numbers]


def _small(frames: Iterable[Frame]) -> list[Frame]:
    def small(frame: Frame) -> Frame:
        size = _WIDTH, _WIDTH * frame.shape[0] // frame.shape[1]
        return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)

    return [small(frame) for frame in frames]


def real_sheet(
    videos: tuple[Path, Path], joints: tuple[Floats, Floats], wanted: Floats, worst: int, path: Path
) -> None:
    """Driver and output of a real clip, each with its ``joints`` (T, 12, 3) in red.

    On the output, ``wanted`` (T, 12, 2) is green. The last column is the frame ``worst``.
    """
    frames = len(wanted)
    numbers = [*(round((frames - 1) * i / (_COLUMNS - 2)) for i in range(_COLUMNS - 1)), worst]
    rows = {}
    for name, video, own in zip(("driver", "output"), videos, joints, strict=True):
        pictures = [picture.copy() for picture in _picked(video, numbers)]
        for picture, number in zip(pictures, numbers, strict=True):
            if name == "output":
                _draw(picture, wanted[number], found(joints[0])[number], (0, 255, 0))
            _draw(picture, own[number, :, :2], found(own)[number], (255, 40, 40))
        rows[name] = _small(pictures)
    draw_rows(rows, path)


_LINES = ((0, 1), (0, 2), (2, 4), (1, 3), (3, 5), (0, 6), (1, 7), (6, 7), (6, 8), (8, 10), (7, 9), (9, 11))


def _draw(picture: Frame, joints: Floats, sure: Marks, color: tuple[int, int, int]) -> None:
    for a, b in _LINES:
        if sure[a] and sure[b]:
            ends = np.round(joints[[a, b]]).astype(int).tolist()
            cv2.line(picture, ends[0], ends[1], color, 3, cv2.LINE_AA)
