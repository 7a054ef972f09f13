"""HDR brought to standard range: a table from the coded colours of PQ or HLG to those of BT.709.

ffmpeg's own way (``zscale`` and ``tonemap``) needs a library that not every build has. A table for
the filter ``lut3d`` works in every build, means the same colours in each, and costs less.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Colors = NDArray[np.float64]

#: The grid's points along each of red, green and blue. Both curves are made for the eye, so that even
#: steps of them look even. Muted colours are off by 0.24 levels of 255 in the mean and 3.5 in the worst
#: hundredth (33 points: 0.66 and 12), the weakest channel of garish ones by up to 20.
_POINTS = 49
#: How bright white paper is, in cd/m2: diffuse white of ITU-R BT.2408-7, table 1.
_WHITE = 203.0
#: What each curve can hold, in cd/m2: PQ by definition, HLG on the display of BT.2100-2, table 5.
_PQ_PEAK, _HLG_PEAK = 10_000.0, 1_000.0
#: Up to this share of white, light is kept as it is: faces are there. Above, it is rolled off: white
#: becomes the level 232 of 255, twice white 245, five times 252.
_KEPT = 0.6
#: BT.2020 to BT.709, linear light: ITU-R BT.2087-0, inverted.
_TO_709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]
)
_LUMA_2020, _LUMA_709 = np.array([0.2627, 0.6780, 0.0593]), np.array([0.2126, 0.7152, 0.0722])


@contextmanager
def table_file(transfer: str | None) -> Iterator[Path | None]:
    """A .cube file of the table for ``transfer`` while the block lasts; None where there is none to lay."""
    if transfer is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard.cube"
        path.write_text(_cube(transfer))
        yield path


@cache
def _cube(transfer: str) -> str:
    axis = np.linspace(0, 1, _POINTS)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red changes fastest
    colors = to_standard(np.stack([red, green, blue], -1).reshape(-1, 3), transfer)
    rows = (f"{r:.5f} {g:.5f} {b:.5f}" for r, g, b in colors.tolist())
    return f"LUT_3D_SIZE {_POINTS}\n" + "\n".join(rows) + "\n"


def to_standard(coded: Colors, transfer: str) -> Colors:
    """Coded BT.2020 colours ``(..., 3)``, 0 to 1, as coded BT.709 colours, 0 to 1.

    ``transfer`` is one of ``CURVES``. White paper stays nearly white, light above it is rolled off
    without changing its hue, and what BT.709 cannot show is made paler, not another colour.
    """
    linear, peak = CURVES[transfer]
    light = linear(coded) / _WHITE
    brightest = np.maximum(light.max(-1, keepdims=True), 1e-9)
    light = light * (_rolled(brightest, peak / _WHITE) / brightest) @ _TO_709.T
    luma = np.clip(light @ _LUMA_709, 0, 1)[..., None]
    # The share of its colour that each may keep so that no channel falls below 0 or exceeds 1.
    apart = light - luma
    room = np.where(apart > 0, 1 - luma, luma) / np.maximum(np.abs(apart), 1e-9)
    light = luma + apart * np.minimum(room.min(-1, keepdims=True), 1)
    standard: Colors = np.clip(light, 0, 1) ** (1 / 2.4)  # the display of BT.1886
    return standard


def _rolled(light: Colors, peak: float) -> Colors:
    """Moebius' curve: the identity up to ``_KEPT``, with no kink there, and 1 at ``peak``."""
    k = _KEPT
    a = -k * k * (peak - 1) / (k * k - 2 * k + peak)
    b = (k * k - 2 * k * peak + peak) / (peak - 1)
    scale = (b * b + 2 * b * k + k * k) / (b - a)
    return np.where(light <= k, light, scale * (light + a) / (light + b))


def _pq(coded: Colors) -> Colors:
    """cd/m2 of BT.2100's PQ (SMPTE ST 2084)."""
    c1, c2, c3, m1, m2 = 0.8359375, 18.8515625, 18.6875, 0.1593017578125, 78.84375
    root = coded ** (1 / m2)
    light: Colors = _PQ_PEAK * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return light


def _hlg(coded: Colors) -> Colors:
    """cd/m2 of BT.2100's HLG on its display of 1000 cd/m2, whose system gamma is 1.2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
    luma = np.maximum(scene @ _LUMA_2020, 1e-9)[..., None]
    light: Colors = _HLG_PEAK * luma**0.2 * scene
    return light


#: By ffmpeg's names: what turns coded colours into light, and the most light there can be.
CURVES: dict[str, tuple[Callable[[Colors], Colors], float]] = {
    "smpte2084": (_pq, _PQ_PEAK),
    "arib-std-b67": (_hlg, _HLG_PEAK),
}
