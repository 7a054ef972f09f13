"""Drawing: a posed puppet becomes a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character import Character
from pipeline.character.skeleton import Point, body_unit, points_of
from pipeline.engines.base import Rgba
from pipeline.engines.puppet.blur import BLUR_FROM, distance, mean_of, shutter
from pipeline.engines.puppet.mesh import (
    COARSEST,
    Deformed,
    GridMesh,
    Lattice,
    coarse_maps,
    enlarged,
    grid_mesh,
)
from pipeline.engines.puppet.relax import Part, Relaxation
from pipeline.engines.puppet.sample import sample
from pipeline.engines.puppet.skin import Plane, Pose, Skin, plane
from pipeline.engines.puppet.visage import Visage
from pipeline.perception.tracks import Joint

#: Triangles over the body's unit: enough for a bend to be round.
_FINENESS = 10


@dataclass(frozen=True, slots=True)
class Sprite:
    """One layer made ready: its texture at about the size it is drawn, its mesh, its skin."""

    name: str
    #: uint8 (h, w, 4), premultiplied.
    texture: NDArray[np.uint8]
    mesh: GridMesh
    skin: Skin
    #: The face on it, where there is one that can act.
    visage: Visage | None = None


class Puppet:
    """A character prepared to be drawn at about ``scale`` frame pixels to a picture pixel."""

    def __init__(
        self,
        character: Character,
        scale: float,
        device: str,
        gains: tuple[float, float, float] | None = None,
        *,
        relaxed: bool = False,
    ) -> None:
        """``gains`` multiply its light; ``relaxed`` limbs bend as rigidly as possible."""
        own = points_of(character.joints)
        self.device = device
        self.names = {layer.name for layer in character.layers}
        self.grade = None if gains is None else _grade(gains)
        self.unit = body_unit(own)
        self.mesh = character.face
        ears = character.joints[[Joint.LEFT_EAR, Joint.RIGHT_EAR], :2]
        reach = float(np.linalg.norm(own[Point.HEAD, :2] - own[Point.NECK, :2]))
        self.face = max(0.75 * float(np.linalg.norm(ears[0] - ears[1])), 0.4 * reach, 1.0)
        self.rest: Plane = plane(own[..., :2].astype(np.float64))
        # Minified by area first: bilinear sampling of a much larger texture would shimmer.
        self.factor = min(1.0, scale)
        self.step = max(6 / self.factor, self.unit / _FINENESS)
        self.lattice = int(np.clip(self.step * scale / 3, 4, COARSEST))
        self.sprites = {
            layer.name: self._sprite(layer.name, layer.rgba, layer.left, layer.top)
            for layer in character.layers
        }
        self._relax = None
        if relaxed:
            sprites = self.sprites.items()
            self._relax = Relaxation({name: Part(one.mesh, one.skin) for name, one in sprites})

    def _sprite(self, name: str, rgba: NDArray[np.uint8], left: int, top: int) -> Sprite:
        texture = _premultiplied(rgba if self.grade is None else cv2.LUT(rgba, self.grade))
        height, width = texture.shape[:2]
        size = (max(2, round(width * self.factor)), max(2, round(height * self.factor)))
        if self.factor < 1:
            texture = np.asarray(cv2.resize(texture, size, interpolation=cv2.INTER_AREA), np.uint8)
        cells = Lattice(self.step, (left, top), (width / size[0], height / size[1]))
        mesh = grid_mesh(np.ascontiguousarray(texture[..., 3]), cells, margin=3 * COARSEST // 2)
        at = plane(mesh.lattice * self.step)
        visage = None
        if name == "head" and self.mesh is not None:
            visage = Visage(
                texture, cells.pixel_of(self.mesh.astype(np.float64) / self.step).astype(np.float32)
            )
        stump = name.endswith("upper_arm") and name.replace("upper_arm", "forearm") not in self.names
        skin = Skin(name, at, self.rest, self.unit, self.face, stump=stump)
        return Sprite(name, texture, mesh, skin, visage)

    def draw(self, pose: Pose, order: Sequence[str], size: tuple[int, int], ledge: float | None) -> Rgba:
        """The frame, transparent but for the character. ``order`` is rearmost first."""
        width, height = size
        return self.draw_on(np.zeros((height, width, 4), np.uint8), pose, order, ledge)

    def draw_on(
        self,
        canvas: Rgba,
        pose: Pose,
        order: Sequence[str],
        ledge: float | None,
        exposure: Sequence[Pose] = (),
    ) -> Rgba:
        """``canvas`` with the character over what is there.

        ``exposure`` are the poses when the shutter opens and when it closes: a layer that moves far
        between them is blurred along its way.
        """
        places = self.places(pose)
        height = canvas.shape[0]
        drawn: list[tuple[Sprite, list[Deformed], float]] = []
        for name in order:
            if name not in places:
                continue
            sprite = self.sprites[name]
            stops = shutter(places[name], _ends(sprite.skin, places[name], pose, exposure, height), height)
            # What stands in front of the driver hides all but what may lie on it.
            lowest = height if ledge is None or name.endswith("forearm") else min(height, round(ledge))
            deformed = _deformed(sprite.mesh, stops, (canvas.shape[1], lowest))
            if deformed:
                apart = distance(stops) / (len(stops) - 1) if len(stops) > 1 else 0.0
                drawn.append((sprite, deformed, apart))
        if drawn:
            maps = iter(coarse_maps([one for _, each, _ in drawn for one in each], self.lattice))
            for sprite, deformed, apart in drawn:
                self._draw_sprite(canvas, sprite, deformed, [next(maps) for _ in deformed], apart, pose)
        return canvas

    def places(self, pose: Pose) -> dict[str, Plane]:
        """Where the vertices of each layer's mesh are in ``pose``."""
        skinned = {name: sprite.skin.places(pose) for name, sprite in self.sprites.items()}
        return skinned if self._relax is None else self._relax(skinned, pose)

    def _draw_sprite(
        self,
        canvas: Rgba,
        sprite: Sprite,
        deformed: Sequence[Deformed],
        maps: Sequence[NDArray[np.float32]],
        apart: float,
        pose: Pose,
    ) -> None:
        """Lay a layer over ``canvas``: the mean of its moments, ``apart`` pixels from each other."""
        texture = sprite.texture
        if sprite.visage is not None and sprite.visage.able and pose.face is not None:
            texture = sprite.visage.acting(pose.face)
        left, top, width, height = box = deformed[0].box
        taken = [sample(texture, enlarged(each, box, self.lattice), self.device) for each in maps]
        seen = taken[0] if len(taken) == 1 else mean_of(taken, apart)
        over(canvas[top : top + height, left : left + width], seen)


def _deformed(mesh: GridMesh, stops: Sequence[Plane], size: tuple[int, int]) -> list[Deformed]:
    """The mesh at each moment, all in one box within ``size``; nothing where it lies outside."""
    at = [np.stack([stop.real, stop.imag], axis=1).astype(np.float32) for stop in stops]
    low = np.min([one.min(axis=0) for one in at], axis=0)
    high = np.max([one.max(axis=0) for one in at], axis=0)
    left, top = (max(0, int(v)) for v in np.floor(low))
    right, bottom = (min(most, int(v) + 1) for most, v in zip(size, np.ceil(high), strict=True))
    if left >= right or top >= bottom:
        return []
    return [Deformed(mesh, one, (left, top, right - left, bottom - top)) for one in at]


def _ends(skin: Skin, now: Plane, pose: Pose, exposure: Sequence[Pose], height: int) -> list[Plane]:
    """The layer's places when the shutter opens and closes; nothing where its bones hardly move.

    Within so short a time a limb's flesh goes the way of its skin.
    """
    if not exposure or max(skin.way(pose, end) for end in exposure) < 0.3 * BLUR_FROM * height:
        return []
    skinned = skin.places(pose)
    return [now + skin.places(end) - skinned for end in exposure]


def over(below: Rgba, above: Rgba) -> None:
    """Lay ``above`` on ``below`` in place; both premultiplied."""
    alpha = np.ascontiguousarray(above[..., 3])
    # Most pixels are all the one or all the other; only edges are mixed. 0 - 1 is 255 here.
    edge = np.nonzero(alpha - np.uint8(1) < 254)
    over_it = above[edge].astype(np.uint16)
    under_it = below[edge].astype(np.uint16) * (255 - over_it[:, 3:])
    cv2.copyTo(above, (alpha == 255).view(np.uint8), below)
    below[edge] = np.minimum(over_it + (under_it + np.uint16(127)) // np.uint16(255), 255)


def _grade(gains: tuple[float, float, float]) -> NDArray[np.uint8]:
    """A table (256, 1, 4) that multiplies light by ``gains``; alpha stays."""
    values = np.arange(256, dtype=np.float64)
    tables = [np.clip(values * gain ** (1 / 2.2), 0, 255) for gain in gains]
    return np.asarray(np.rint(np.stack([*tables, values], axis=1))[:, None], np.uint8)


def _premultiplied(rgba: cv2.typing.MatLike) -> NDArray[np.uint8]:
    alpha = rgba[..., 3:].astype(np.float32) / 255
    color = np.rint(rgba[..., :3] * alpha).astype(np.uint8)
    return np.ascontiguousarray(np.dstack([color, rgba[..., 3]]))
