"""How well pixels agree: mattes, plates, what still shows of the driver, and seams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Marks = NDArray[np.bool_]

#: A channel that is farther from the truth than this shows something else.
_GHOST = 24
#: PSNR of pictures that are the same to the bit.
_PERFECT = 99.0


def overlap(mask: Marks, truth: Marks) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = int((mask | truth).sum())
    return float((mask & truth).sum() / union) if union else 1.0


class Error:
    """Squared error, summed over pictures."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, picture: Picture, truth: Picture, where: Marks) -> None:
        """Count the pixels of ``where`` (H, W) of two (H, W, 3)."""
        apart = picture[where].astype(np.float64) - truth[where]
        self._sum += float((apart**2).sum())
        self._count += apart.size

    @property
    def psnr(self) -> float | None:
        """In dB; None where no pixel was counted."""
        if not self._count:
            return None
        return min(_PERFECT, float(10 * np.log10(255**2 / max(self._sum / self._count, 1e-9))))


def ghost(cleaned: Picture, frame: Picture, truth: Picture, mask: Marks) -> Marks:
    """Where in ``mask`` the driver still shows.

    There ``cleaned``, the frame without the person, is more than 24 levels from the true background in
    some channel, and nearer to the driver's ``frame`` than to the truth.
    """
    error = np.abs(cleaned.astype(np.int16) - truth).max(axis=2)
    nearer = np.abs(frame.astype(np.int16) - cleaned).max(axis=2) < error
    return np.asarray(mask & (error > _GHOST) & nearer)


def mixture(cleaned: Picture, frame: Picture, truth: Picture) -> Marks:
    """Where ``cleaned`` can be a mixture of the driver's ``frame`` and the truth, to 24 levels.

    An invented background that is wrong is nearer to the driver than to the truth at every other pixel,
    by chance; it is no mixture of the two.
    """
    way = frame.astype(np.float32) - truth
    gone = cleaned.astype(np.float32) - truth
    share = np.clip((gone * way).sum(axis=2) / np.maximum((way * way).sum(axis=2), 1), 0, 1)
    return np.asarray(np.abs(gone - share[..., None] * way).max(axis=2) <= _GHOST)


def changes(frames: Iterable[Picture]) -> NDArray[np.float64]:
    """How much each frame differs from the one before: mean of the levels, (T - 1,)."""
    found: list[float] = []
    last: Picture | None = None
    for frame in frames:
        if last is not None:
            found.append(float(np.abs(frame.astype(np.int16) - last).mean()))
        last = frame
    return np.array(found)


def seam(output: NDArray[np.float64], driver: NDArray[np.float64], boundaries: Sequence[int]) -> float | None:
    """The worst boundary's z-score: how far the change over it is out of what is usual in the clip.

    ``output`` and ``driver`` are what ``changes`` gives, ``boundaries`` the first frames of segments.
    The driver's own change, in the clip's proportion, is taken off first: a jump of the driver is no
    seam. None without boundaries.
    """
    at = np.array([b - 1 for b in boundaries if 0 < b <= len(output)], np.int64)
    inside = np.setdiff1d(np.arange(len(output)), at)
    if not len(at) or len(inside) < 2:
        return None
    share = float(output[inside] @ driver[inside] / max(driver[inside] @ driver[inside], 1e-9))
    rest = output - share * driver
    spread = max(float(rest[inside].std()), 0.02)
    return float(((rest[at] - rest[inside].mean()) / spread).max())
