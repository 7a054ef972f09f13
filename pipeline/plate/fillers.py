"""What fills a plate: our own shifted copies, or a model whose weights somebody has put here.

Another filler makes another picture, so a plan names its own: ``Plan.fill``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import weights
from pipeline.errors import EngineError
from pipeline.plate.fill import fill
from pipeline.spec import EMBEDDED_FILL

Frame = NDArray[np.uint8]
Mask = NDArray[np.bool_]
#: A canvas (H, W, 3) with the pixels of a hole (H, W) made up; the others are not touched.
Filler = Callable[[Frame, Mask], Frame]

LAMA = "big-lama"
#: Its file: Suvorov et al.: Resolution-robust Large Mask Inpainting with Fourier Convolutions (2022),
#: as TorchScript.
LAMA_FILE = "big-lama.pt"
#: The model's sides are multiples of this, and no longer than that.
_MULTIPLE, _LONGEST = 8, 1024


def best_fill() -> str:
    """The name of the best filler that can be had here, for a new plan."""
    return LAMA if _lama() else EMBEDDED_FILL


def filler_for(name: str) -> Filler:
    """The filler that a plan names; ``EngineError`` where its weights, or what runs them, are not here."""
    if name == EMBEDDED_FILL:
        return fill
    path = _lama() if name == LAMA else None
    if path is None:
        raise EngineError(f"The job is pinned to the filler {name}, which this worker does not have.")
    return Lama(path)


def _lama() -> Path | None:
    """Its weights, where there is a torch to run them: not every worker has one."""
    return weights.find(LAMA_FILE) if find_spec("torch") else None


class Lama:
    """big-lama, loaded when there is something to fill: TorchScript, pictures 0-1, masks 0 or 1."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, canvas: Frame, hole: Mask) -> Frame:
        if not hole.any() or hole.all():
            return fill(canvas, hole)
        part = _surroundings(hole)
        filled = self._filled(np.ascontiguousarray(canvas[part]), np.ascontiguousarray(hole[part]))
        result = canvas.copy()
        result[part] = np.where(hole[part][..., None], filled, canvas[part])
        return result

    def _filled(self, picture: Frame, hole: Mask) -> Frame:
        import torch

        from pipeline.threads import fix_threads

        height, width = hole.shape
        scale = min(1.0, _LONGEST / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        gap = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        sides = ((0, -size[1] % _MULTIPLE), (0, -size[0] % _MULTIPLE))
        image = np.pad(small, (*sides, (0, 0)), mode="edge").astype(np.float32) / 255
        mask = np.pad(gap, sides).astype(np.float32)
        fix_threads()  # torch has only just been loaded
        try:
            with warnings.catch_warnings():
                # torch wants its newer formats; the published weights are TorchScript.
                warnings.simplefilter("ignore", FutureWarning)
                model: Any = torch.jit.load(str(self._path), map_location="cpu")  # type: ignore[no-untyped-call]
            model.eval()
            with torch.inference_mode():
                result = model(
                    torch.from_numpy(image.transpose(2, 0, 1)[None].copy()),
                    torch.from_numpy(mask[None, None]),
                )
            values = np.asarray(result[0].float().numpy().transpose(1, 2, 0), np.float32)
        except (RuntimeError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise EngineError(f"The filler {LAMA} failed: {error}") from error
        if values.shape != image.shape or not np.isfinite(values).all():
            raise EngineError(f"The filler {LAMA} gave no picture of the size that was asked for.")
        seen = np.rint(np.clip(values[: size[1], : size[0]], 0, 1) * 255).astype(np.uint8)
        return np.asarray(cv2.resize(seen, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _surroundings(hole: Mask) -> tuple[slice, slice]:
    """The part of a canvas that a model needs to see: the hole and as much again around it."""
    x, y, width, height = cv2.boundingRect(hole.astype(np.uint8))
    margin = max(width, height) // 2 + _MULTIPLE
    return slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)
