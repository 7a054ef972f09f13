"""``V4_Preview`` without weights: skinned limbs, a head that turns, the scene's light, contact shadows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.character import Character
from pipeline.engines.base import Rgba, Scene
from pipeline.engines.puppet.acting import Acting
from pipeline.engines.puppet.blur import BLUR_FROM
from pipeline.engines.puppet.draw import Puppet
from pipeline.engines.puppet.engine import PuppetEngine, pose_between, pose_of
from pipeline.engines.puppet.ground import lay_shadows
from pipeline.engines.puppet.hands import opening, with_hands
from pipeline.engines.puppet.measure import own_roll, own_turn
from pipeline.engines.puppet.order import drawing_order
from pipeline.engines.puppet.performance import Performance
from pipeline.engines.puppet.retarget import retarget
from pipeline.engines.puppet.skin import Pose
from pipeline.perception.tracks import Person

#: How far the character's light goes towards the scene's: of its brightness, and of its tint.
_BRIGHTNESS, _TINT = 0.22, 0.3
#: A light that is changed more than this makes another character of it.
_DARKEST, _BRIGHTEST = 0.6, 1.35
#: The share of a frame's time for which the shutter is open: half a turn, as film cameras have it.
_SHUTTER = 0.5
#: Nose over ears to sine of yaw and of pitch.
_TURN = np.array([0.75, 0.6])


class PuppetV4(PuppetEngine):
    """Like ``PuppetV3``, with a face that turns, and set into its scene."""

    name = "puppet_v4"
    version = "2"

    def interpret(self, character: Character, person: Person, scene: Scene) -> Performance:
        performance = retarget(character, with_hands(person), scene)
        if person.hands is not None:
            performance = replace(performance, opening=opening(person, scene))
        if person.face is None:
            return performance
        acting = Acting(person, scene)
        seen = acting.seen[:, None]
        # A turn of the head is told in how far the nose moves over the head's depth; the mesh tells it
        # more surely than a nose and two ears do. The factors are those of both on faces seen well.
        turn = np.clip(np.sin(acting.turn[:, :2]) * _TURN - own_turn(character), -1, 1)
        roll = np.clip(acting.turn[:, 2] - own_roll(character), -0.7, 0.7)
        return replace(
            performance,
            acting=acting,
            turn=seen * turn + (1 - seen) * performance.turn,
            head=acting.seen * roll + (1 - acting.seen) * performance.head,
        )

    def prepare(self, character: Character, scale: float, scene: Scene) -> Puppet:
        gains = None if scene.light is None else _gains(character, scene.light)
        return Puppet(character, scale, self.device, gains, relaxed=True)

    def draw(self, puppet: Puppet, performance: Performance, frame: int, scene: Scene) -> Rgba:
        pose = _pose(performance, frame)
        width, height = scene.size
        canvas = np.zeros((height, width, 4), np.uint8)
        grounded = float(performance.grounded[frame])
        if scene.shadows and grounded > 0.05:
            lay_shadows(canvas, pose, puppet.unit, grounded)
        exposure = _exposure(performance, frame, pose, scene)
        return puppet.draw_on(canvas, pose, drawing_order(performance, frame), scene.ledge, exposure)


def _pose(performance: Performance, frame: int) -> Pose:
    across, down = (float(v) for v in performance.turn[frame])
    return pose_of(performance, frame, complex(across, down))


def _exposure(performance: Performance, frame: int, pose: Pose, scene: Scene) -> Sequence[Pose]:
    """The poses when the shutter opens and closes; nothing where no point moves far enough to blur."""
    near = [
        frame - 1 if frame not in scene.cuts else frame,
        frame + 1 if frame + 1 not in scene.cuts else frame,
    ]
    frames = len(performance.present)
    near = [one if 0 <= one < frames and performance.present[one] else frame for one in near]
    moved = np.abs(performance.points[near] - performance.points[frame]).max()
    if moved * _SHUTTER < 0.5 * BLUR_FROM * scene.size[1]:
        return ()
    return [pose_between(pose, _pose(performance, one), _SHUTTER / 2) for one in near]


def _gains(character: Character, light: tuple[float, float, float]) -> tuple[float, float, float]:
    """Factors on the character's linear colours that bring it part of the way to the scene's light."""
    total, weight = np.zeros(3), 1e-6
    for layer in character.layers:
        alpha = layer.rgba[..., 3:].astype(np.float64) / 255
        total += ((layer.rgba[..., :3] / 255.0) ** 2.2 * alpha).sum(axis=(0, 1))
        weight += float(alpha.sum())
    own = np.maximum(total / weight, 0.01)
    scene = np.maximum(np.array(light), 0.01)
    brightness = (scene.mean() / own.mean()) ** _BRIGHTNESS
    # Only the scene's tint counts: a red coat is no red light.
    tint = (scene / scene.mean()) ** _TINT
    red, green, blue = (float(v) for v in np.clip(brightness * tint, _DARKEST, _BRIGHTEST))
    return red, green, blue
