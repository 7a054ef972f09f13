"""What both puppets do: retarget once, then pose and draw frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.character import Character
from pipeline.engines.base import Continuity, Engine, Rgba, Scene
from pipeline.engines.puppet.draw import Puppet
from pipeline.engines.puppet.order import drawing_order
from pipeline.engines.puppet.performance import Performance
from pipeline.engines.puppet.retarget import retarget
from pipeline.engines.puppet.skin import Pose, plane
from pipeline.perception.tracks import Person
from pipeline.spec import Span

#: Performances that are kept: as many as there are people on the stage.
_MOST_KNOWN = 4


@dataclass(frozen=True, slots=True)
class _Known:
    """A performance, and what it was made from."""

    character: NDArray[np.float32]
    person: NDArray[np.float32]
    scene: Scene
    performance: Performance


class PuppetEngine(Engine):
    """Layers of a picture, skinned to the driver's skeleton."""

    continuity = Continuity.INDEPENDENT

    def __init__(self) -> None:
        self.device = "cpu"
        self._known: tuple[_Known, ...] = ()

    def setup(self, device: str) -> None:
        self.device = device

    def perform(self, character: Character, person: Person, span: Span, scene: Scene) -> Iterator[Rgba]:
        width, height = scene.size
        if not person.present.any():
            yield from (np.zeros((height, width, 4), np.uint8) for _ in range(len(span)))
            return
        performance = self._performance(character, person, scene)
        largest = float(np.percentile(performance.scale, 95))
        puppet = self.prepare(character, largest, scene)
        for frame in range(span.start, span.stop):
            if performance.present[frame]:
                yield self.draw(puppet, performance, frame, scene)
            else:
                yield np.zeros((height, width, 4), np.uint8)

    def _performance(self, character: Character, person: Person, scene: Scene) -> Performance:
        """What ``interpret`` gives, kept for the next segments: it is of the whole video.

        A long video has hundreds of segments. The arrays tell one character or person from another;
        the heavy textures are not kept.
        """
        place = replace(scene, light=None, shadows=False)
        for known in self._known:
            if known.character is character.joints and known.person is person.joints and known.scene == place:
                return known.performance
        performance = self.interpret(character, person, scene)
        self._known = (
            *self._known[1 - _MOST_KNOWN :],
            _Known(character.joints, person.joints, place, performance),
        )
        return performance

    def interpret(self, character: Character, person: Person, scene: Scene) -> Performance:
        """The person's whole performance on the character's bones."""
        return retarget(character, person, scene)

    def prepare(self, character: Character, scale: float, scene: Scene) -> Puppet:
        """The character ready to be drawn in ``scene`` at about ``scale``."""
        return Puppet(character, scale, self.device)

    def draw(self, puppet: Puppet, performance: Performance, frame: int, scene: Scene) -> Rgba:
        """One frame in which the person is present."""
        order = drawing_order(performance, frame)
        return puppet.draw(pose_of(performance, frame), order, scene.size, scene.ledge)


def pose_of(performance: Performance, frame: int, turn: complex = 0j) -> Pose:
    """One frame of a performance."""
    acting, opening = performance.acting, performance.opening
    left, right = (1.0, 1.0) if opening is None else (float(v) for v in opening[frame])
    return Pose(
        points=plane(performance.points[frame]),
        scale=float(performance.scale[frame]),
        head=float(performance.head[frame]),
        chest=float(performance.chest[frame]),
        hips=float(performance.hips[frame]),
        width=float(performance.width[frame]),
        turn=turn,
        opening=(left, right),
        face=None if acting is None else acting.expression(frame),
    )


def pose_between(pose: Pose, other: Pose, share: float) -> Pose:
    """``pose``, by ``share`` on its way to ``other``; the face stays."""

    def between(a: float, b: float) -> float:
        return a + share * (b - a)

    return replace(
        pose,
        points=pose.points + share * (other.points - pose.points),
        scale=between(pose.scale, other.scale),
        head=between(pose.head, other.head),
        chest=between(pose.chest, other.chest),
        hips=between(pose.hips, other.hips),
        width=between(pose.width, other.width),
        turn=pose.turn + share * (other.turn - pose.turn),
    )
