"""The plate's file, and the background of each frame read from it."""

from __future__ import annotations

import bisect
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.plate.light import relight
from pipeline.plate.removal import removal
from pipeline.plate.views import View

Frame = NDArray[np.uint8]
#: x, y, width, height
Box = tuple[int, int, int, int]


def save_plate(
    path: Path,
    size: tuple[int, int],
    views: Sequence[View],
    finished: Iterable[tuple[Frame, NDArray[np.float32]]],
) -> None:
    """Write a plate: one PNG for each view's canvas, and where the frames lie on it.

    ``finished`` gives each view's canvas and its frames' gains. Each is written as it comes: the
    canvases of a long video with many shots would fill the memory. Where one cannot be made, there is
    no file.
    """
    every: list[NDArray[np.float32]] = []
    part = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(part, "w") as file:
            for number, (view, (canvas, gains)) in enumerate(zip(views, finished, strict=True)):
                bgr = cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR)
                _, png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
                _put(file, f"canvas-{number}", png.ravel())
                if view.to_canvas is not None:
                    _put(file, f"matrices-{number}", view.to_canvas)
                every.append(gains)
            _put(file, "size", np.array(size))
            _put(file, "views", np.array([(view.start, view.stop, *view.size) for view in views]))
            _put(file, "gains", np.concatenate(every))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _put(file: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    """Add an array to an npz that is being written."""
    with file.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.save(member, array, allow_pickle=False)


class Plate:
    """The background of every frame, as the frame's own camera and light show it.

    Only the canvas in use is held, so frames are best asked for in order.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], views: Sequence[View], gains: NDArray[np.float32]
    ) -> None:
        self.size = size
        self._path = path
        self._views = views
        self._starts = [view.start for view in views]
        self._gains = gains
        self._loaded = -1
        self._canvas: Frame = np.zeros((0, 0, 3), np.uint8)
        self._small: Frame | None = None

    @classmethod
    def load(cls, path: Path) -> Plate:
        """What ``save_plate`` wrote."""
        with np.load(path, allow_pickle=False) as data:
            width, height = (int(side) for side in data["size"])
            views = [
                View(
                    int(start),
                    int(stop),
                    (int(w), int(h)),
                    data.get(f"matrices-{number}"),
                )
                for number, (start, stop, w, h) in enumerate(data["views"])
            ]
            return cls(path, (width, height), views, data["gains"])

    def frame(self, number: int) -> Frame:
        """The scene without the people as frame ``number`` sees it: uint8 (H, W, 3), not to be changed."""
        return self._look(number, (0, 0, *self.size))

    def clean(self, number: int, rgb: Frame, matte: Frame, keep: Frame | None = None) -> Frame:
        """Frame ``number`` itself (``rgb``) with the person of ``matte`` taken out.

        The frame's own pixels stay, to the bit, wherever neither the person nor what moves with them
        (worn and held things, a shadow) is; there the plate shows, with a soft edge. ``matte`` is
        uint8 (h, w), smaller than the frame.
        """
        if not matte.any():
            return rgb
        small = cv2.resize(rgb, matte.shape[::-1], interpolation=cv2.INTER_AREA)
        gone = removal(np.asarray(small, np.uint8), self._glance(number, matte.shape), matte)
        if keep is not None:
            gone[keep > 0] = 0
        x, y, width, height = box = _box(gone, self.size)
        part = slice(y, y + height), slice(x, x + width)
        share = cv2.resize(gone, self.size, interpolation=cv2.INTER_LINEAR)[part].astype(np.float32) / 255
        result = rgb.copy()
        result[part] = cv2.blendLinear(rgb[part], self._look(number, box), 1 - share, share)
        return result

    def _glance(self, number: int, shape: tuple[int, ...]) -> Frame:
        """What ``frame`` gives, at the small size (h, w) of ``shape``."""
        view = self._view(number)
        height, width = shape[:2]
        to_frame = np.diag([self.size[0] / width, self.size[1] / height, 1.0])
        if self._small is None:
            # The canvas as large in small pixels as it is in the frame's.
            size = max(1, round(view.size[0] / to_frame[0, 0])), max(1, round(view.size[1] / to_frame[1, 1]))
            self._small = np.asarray(cv2.resize(self._canvas, size, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = view.matrix(number)
        if matrix is None:
            return relight(self._small, self._gains[number])
        rows, columns = self._small.shape[:2]
        to_small = np.diag([columns / view.size[0], rows / view.size[1], 1.0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpPerspective(
            self._small,
            to_small @ matrix @ to_frame,
            (width, height),
            flags=flags,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return relight(np.asarray(seen, np.uint8), self._gains[number])

    def _look(self, number: int, box: Box) -> Frame:
        """The part ``box`` of the scene as frame ``number`` sees it."""
        view = self._view(number)
        x, y, width, height = box
        matrix = view.matrix(number)
        if matrix is None:
            seen = self._canvas[y : y + height, x : x + width]
        else:
            there = matrix @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            warped = cv2.warpPerspective(
                self._canvas, there, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
            )
            seen = np.asarray(warped, np.uint8)
        return relight(seen, self._gains[number])

    def _view(self, number: int) -> View:
        index = bisect.bisect_right(self._starts, number) - 1
        if index != self._loaded:
            with np.load(self._path, allow_pickle=False) as data:
                png = data[f"canvas-{index}"]
            self._canvas = np.asarray(
                cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8
            )
            self._loaded, self._small = index, None
        return self._views[index]


def _box(mask: Frame, size: tuple[int, int]) -> Box:
    """The part of a frame of ``size`` in which the smaller ``mask`` is not zero, with a margin."""
    x, y, w, h = cv2.boundingRect(mask)
    factor_x, factor_y = size[0] / mask.shape[1], size[1] / mask.shape[0]
    left, top = max(0, int((x - 2) * factor_x)), max(0, int((y - 2) * factor_y))
    right = min(size[0], int(np.ceil((x + w + 2) * factor_x)))
    bottom = min(size[1], int(np.ceil((y + h + 2) * factor_y)))
    return left, top, right - left, bottom - top
