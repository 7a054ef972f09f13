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
from pipeline.plate.removal import around, removal
from pipeline.plate.views import View, whole_step

Frame = NDArray[np.uint8]
#: x, y, width, height
Box = tuple[int, int, int, int]

#: What is to be removed is found on a picture whose shorter side is so long.
_LOOK_SHORT = 240
#: From a picture's own coordinates (0 is the first pixel's middle) to such in which 0 is its edge, and
#: back: pictures of other sizes have their edges in common, not their first pixels' middles.
_HALF = (
    np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]),
    np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]]),
)


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
        #: By how much frames and canvas are made smaller to see what moves with a person.
        self._smaller = max(1, round(min(size) / _LOOK_SHORT))
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
        """Frame ``number`` itself (``rgb``) with the people of ``matte`` taken out.

        The frame's own pixels stay, to the bit, wherever neither they nor what moves with them
        (worn and held things, a shadow) is, and wherever people of ``keep`` are; elsewhere the plate
        shows, with a soft edge. ``matte`` and ``keep`` are uint8 (h, w), smaller than the frame.
        """
        near = around(matte)
        if near is None:
            return rgb
        smaller = self._smaller
        box = _multiple(_scaled(near, matte.shape, self.size), smaller, self.size)
        small = -(-box[2] // smaller), -(-box[3] // smaller)
        gone = removal(
            _resized(_part(rgb, box), small),
            self._glance(number, box, small),
            self._matte(matte, box, small),
            min(self.size) / smaller,
            None if keep is None else self._matte(keep, box, small),
        )
        x, y, width, height = inner = _scaled(cv2.boundingRect(gone), gone.shape, box[2:])
        if not width:
            return rgb
        place = box[0] + x, box[1] + y, width, height
        share = _part(np.asarray(cv2.resize(gone, box[2:], interpolation=cv2.INTER_LINEAR), np.uint8), inner)
        if keep is not None:
            share[self._matte(keep, place, (width, height)) > 0] = 0
        own, weight = _part(rgb, place), share.astype(np.float32) / 255
        result = rgb.copy()
        _part(result, place)[:] = cv2.blendLinear(own, self._look(number, place), 1 - weight, weight)
        return result

    def _matte(self, matte: Frame, box: Box, size: tuple[int, int]) -> Frame:
        """The part ``box`` (of the frame) of a whole ``matte``, at ``size``."""
        x, y, width, height = box
        to_frame = np.diag([self.size[0] / matte.shape[1], self.size[1] / matte.shape[0], 1.0])
        to_part = np.array(
            [[size[0] / width, 0, -x * size[0] / width], [0, size[1] / height, -y * size[1] / height]]
        )
        way = _HALF[1] @ np.vstack([to_part, (0, 0, 1)]) @ to_frame @ _HALF[0]
        return np.asarray(
            cv2.warpAffine(matte, way[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )

    def _glance(self, number: int, box: Box, size: tuple[int, int]) -> Frame:
        """The part ``box`` of what ``frame`` gives, at the smaller ``size``."""
        view = self._view(number)
        x, y, width, height = box
        matrix = view.matrix(number)
        if matrix is None:
            return relight(_resized(_part(self._canvas, box), size), self._gains[number])
        scale = size[0] / width, size[1] / height
        if self._small is None:
            # As large in small pixels as in the frame's, whatever frame and box is asked for first.
            small = (max(1, round(side / self._smaller)) for side in view.size)
            self._small = _resized(self._canvas, (next(small), next(small)))
        rows, columns = self._small.shape[:2]
        to_small = np.diag([columns / view.size[0], rows / view.size[1], 1.0])
        to_frame = np.array([[1 / scale[0], 0, x], [0, 1 / scale[1], y], [0, 0, 1]])
        way = _HALF[1] @ to_small @ _HALF[0] @ matrix @ _HALF[1] @ to_frame @ _HALF[0]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpPerspective(self._small, way, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
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
            if (place := whole_step(there)) is not None:
                # Only moved by whole pixels: nothing is resampled.
                return relight(_part(self._canvas, (*place, width, height)), self._gains[number])
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


def _part(picture: Frame, box: Box) -> Frame:
    x, y, width, height = box
    return picture[y : y + height, x : x + width]


def _resized(picture: Frame, size: tuple[int, int]) -> Frame:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _multiple(box: Box, of: int, size: tuple[int, int]) -> Box:
    """``box`` grown until its sides are multiples of ``of``, where a frame of ``size`` allows it.

    OpenCV shrinks by whole numbers several times as fast.
    """
    width, height = (min(-(-side // of) * of, most) for side, most in zip(box[2:], size, strict=True))
    return min(box[0], size[0] - width), min(box[1], size[1] - height), width, height


def _scaled(box: Sequence[int], shape: tuple[int, ...], size: tuple[int, ...]) -> Box:
    """``box`` of a picture of ``shape`` = (h, w), rounded outwards to pixels of one of ``size`` = (w, h)."""
    x, y, width, height = box
    if not width:
        return 0, 0, 0, 0
    factor_x, factor_y = size[0] / shape[1], size[1] / shape[0]
    left, top = max(0, int((x - 1) * factor_x)), max(0, int((y - 1) * factor_y))
    right = min(size[0], int(np.ceil((x + width + 1) * factor_x)))
    bottom = min(size[1], int(np.ceil((y + height + 1) * factor_y)))
    return left, top, right - left, bottom - top
