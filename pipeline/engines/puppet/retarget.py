"""The driver's movement on the character's own bones, for the whole video at once.

The driver gives angles, foreshortening and the places of feet or shoulders; the character gives the
lengths. Everything that must not differ between segments (scale, references, smoothing) is measured
over all frames, so a frame is the same in whatever segment it is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.character import Character
from pipeline.character.skeleton import ARM, LEG, SIDE, Point, facing, points_of
from pipeline.engines.base import Scene
from pipeline.engines.puppet.framing import crowned, place
from pipeline.engines.puppet.measure import body_size, face_turn, picture_scale
from pipeline.engines.puppet.performance import Performance
from pipeline.engines.puppet.signals import Values, ramp, runs, smooth, switch, trusted
from pipeline.engines.puppet.turn import mixed, turned_away
from pipeline.perception.sides import mirrored
from pipeline.perception.tracks import Joint, Person

#: A limb that points at the camera is drawn so much shorter at most; and no longer than this.
SHORTEST, LONGEST = 0.45, 1.12
#: The percentile of a bone's lengths that is taken for its whole one.
_WHOLE_ARM, _WHOLE_LEG = 70, 90
#: The share by which a detector errs on a limb's length.
_ERRING = 0.08
#: Shoulders seen from the side keep this share of their width: the picture has only a front.
_NARROWEST = 0.62
#: Segments of the body over the distance from shoulders to hips, in grown-ups (Drillis and Contini, 1966).
_USUAL = {"upper": 0.62, "fore": 0.5, "hand": 0.2, "thigh": 0.83, "shin": 0.83, "foot": 0.3}


def retarget(character: Character, person: Person, scene: Scene) -> Performance:
    """The performance of ``person`` by ``character``."""
    joints = _whole(person, scene.cuts)
    away = turned_away(facing(joints).astype(np.float64), scene.rate, scene.cuts)
    performance = _Side(character, joints, scene).perform(person.present)
    if away.any():
        back = _Side(character, mirrored(joints), scene).perform(person.present)
        performance = mixed(performance, back, away)
    return place(character, performance, scene, crowned(joints[person.present]))


def _whole(person: Person, cuts: Sequence[int]) -> NDArray[np.float32]:
    """The person's joints with absent frames filled by the nearest present one of their shot.

    One of another shot would be smoothed into the frames in which the person comes in. Shots that
    the person is not in at all take the nearest of any.
    """
    known = np.flatnonzero(person.present)
    if len(known) == 0:
        return np.zeros_like(person.joints)
    frames = np.arange(len(person.present))
    nearest = np.empty_like(frames)
    for shot in runs(len(frames), cuts):
        own = known[(known >= shot.start) & (known < shot.stop)]
        nearest[shot] = _nearest(own if len(own) else known, frames[shot])
    return np.asarray(np.nan_to_num(person.joints[nearest]), np.float32)


def _nearest(known: NDArray[np.int64], frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of ``frames`` the nearest of ``known``, which are sorted."""
    after = np.searchsorted(known, frames).clip(0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(known[before] - frames) < np.abs(known[after] - frames)
    return np.where(nearer, known[before], known[after])


class _Side:
    """One reading of the driver: as labelled, or with left and right changed over."""

    def __init__(self, character: Character, joints: NDArray[np.float32], scene: Scene) -> None:
        self.character = character
        self.scene = scene
        self.joints = joints.astype(np.float64)
        driver = points_of(joints).astype(np.float64)
        self.at, self.depth, self.seen = driver[..., :2], driver[..., 2], driver[..., 3]
        own = points_of(character.joints).astype(np.float64)
        self.own, self.own_seen = own[..., :2], own[..., 3]
        self.size = body_size(self.at, self.seen, scene)
        self.scale = picture_scale(character, self.joints, self.size)

    def perform(self, present: NDArray[np.bool_]) -> Performance:
        frames = len(self.at)
        points = np.zeros((frames, len(Point), 2))
        chest, width = self._line(Point.LEFT_SHOULDER)
        hips, hip_width = self._line(Point.LEFT_HIP)
        # The hips' line is short and often hidden: it follows the shoulders as far as it is not seen.
        sure = ramp(self.seen[:, Point.LEFT_HIP : Point.LEFT_HIP + 1].min(axis=1), 0.3, 0.7)
        hips, hip_width = sure * hips, sure * hip_width + (1 - sure) * width
        spine, trunk = self._spine()
        length = np.linalg.norm(self.own[Point.NECK] - self.own[Point.PELVIS])
        points[:, Point.NECK] = self.at[:, Point.NECK]
        points[:, Point.PELVIS] = points[:, Point.NECK] - spine * (self.scale * trunk * length)[:, None]
        for base, middle, angle, share in (
            (Point.LEFT_SHOULDER, Point.NECK, chest, width),
            (Point.LEFT_HIP, Point.PELVIS, hips, hip_width),
        ):
            for point in (base, base + SIDE):
                offset = self.own[point] - self.own[middle]
                points[:, point] = points[:, middle] + _turned(offset, angle) * (self.scale * share)[:, None]
        for chain, names in ((ARM, ("upper", "fore", "hand")), (LEG, ("thigh", "shin", "foot"))):
            for side in (0, SIDE):
                for start, stop, name in zip(chain[:-1], chain[1:], names, strict=True):
                    step = self._bone(start + side, stop + side, name)
                    points[:, stop + side] = points[:, start + side] + step
        for side in (0, SIDE):
            self._reach(points, side)
        points += self._root(points)[:, None]
        roll = self._roll()
        points[:, Point.HEAD] = points[:, Point.NECK] + self._head_reach(roll)
        return Performance(
            present=present,
            points=points,
            scale=self.scale,
            head=roll,
            chest=chest,
            hips=hips,
            width=width,
            turn=self._turn(),
            behind=self._behind(),
            legs=smooth(self.depth[:, Point.RIGHT_KNEE] - self.depth[:, Point.LEFT_KNEE], 4, self.scene.cuts),
            grounded=self._grounded(),
        )

    def _trust(self, *points: int) -> Values:
        return ramp(self.seen[:, list(points)].min(axis=1), 0.15, 0.5)

    def _steady(self, values: Values, trust: Values, default: Values) -> Values:
        return trusted(values, trust, 0.15 * self.scene.rate, default, self.scene.cuts)

    def _line(self, left: int) -> tuple[Values, Values]:
        """Turn of the line between a pair, and its width over its reference."""
        across = self.at[:, left] - self.at[:, left + SIDE]
        reference = max(1e-3, float(np.percentile(np.linalg.norm(across, axis=1) / self.size, 85)))
        share = np.hypot(across[:, 0], across[:, 1]) / (self.size * reference)
        # From the side the line is too short to have a direction of its own.
        level = np.arctan2(across[:, 1], np.maximum(across[:, 0], 0.6 * reference * self.size))
        own = self.own[left] - self.own[left + SIDE]
        own_level = np.arctan2(own[1], max(own[0], 1e-3))
        turn = np.clip(level - own_level, -0.7, 0.7)
        return turn, np.clip(share, _NARROWEST, 1.08)

    def _spine(self) -> tuple[Values, Values]:
        """Direction from pelvis to neck (T, 2), and its length over its reference."""
        up = self.at[:, Point.NECK] - self.at[:, Point.PELVIS]
        length = np.linalg.norm(up, axis=1)
        sure = ramp(self.seen[:, Point.PELVIS], 0.1, 0.4)
        reference = float(np.percentile(length / self.size, 80))
        share = np.clip(length / (self.size * max(reference, 1e-3)), 0.72, 1.08)
        unit = up / np.maximum(length, 1e-6)[:, None]
        rest = (self.own[Point.NECK] - self.own[Point.PELVIS]).astype(np.float64)
        rest /= max(float(np.linalg.norm(rest)), 1e-6)
        unit = sure[:, None] * unit + (1 - sure[:, None]) * rest
        return unit / np.linalg.norm(unit, axis=1, keepdims=True), sure * share + (1 - sure)

    def _bone(self, start: int, stop: int, name: str) -> Values:
        """One bone of the character as the driver holds it, (T, 2)."""
        step = self.at[:, stop] - self.at[:, start]
        length = np.linalg.norm(step, axis=1)
        twin = (start + SIDE, stop + SIDE) if start < Point.RIGHT_SHOULDER else (start - SIDE, stop - SIDE)
        rest = self.own[stop] - self.own[start]
        direction = step / np.maximum(length, 1e-6)[:, None]
        # A bone that points at the camera has hardly a direction: what the frames around say counts more.
        reference = self._reference((start, stop), twin, name)
        share = length / (self.size * reference)
        trust = self._trust(start, stop) * ramp(share, 0.05, 0.25)
        resting = rest / max(float(np.linalg.norm(rest)), 1e-6)
        direction = self._steady(direction, trust, resting)
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
        share = self._steady(np.clip(share, SHORTEST, LONGEST), trust, np.array(0.95))
        if name in ("hand", "foot"):
            direction = self._tip(direction, start, stop)
            return np.asarray(direction * (self.scale * np.linalg.norm(rest))[:, None], np.float64)
        own = self._own_length((start, stop), twin)
        return np.asarray(direction * (self.scale * own * share)[:, None], np.float64)

    def _reach(self, points: Values, side: int) -> None:
        """Move a hand to where the driver's is from the shoulder, and the elbow half as far.

        Of an arm the elbow is what a detector misses most; walking along the bones adds its errors up.
        """
        shoulder, elbow, wrist, hand = (point + side for point in ARM)
        bones = [(shoulder, elbow), (elbow, wrist)]
        twins = [(a + SIDE - 2 * side, b + SIDE - 2 * side) for a, b in bones]
        own = [self._own_length(bone, twin) for bone, twin in zip(bones, twins, strict=True)]
        whole = [
            self._reference(bone, twin, name)
            for bone, twin, name in zip(bones, twins, ("upper", "fore"), strict=True)
        ]
        ratio = self.scale * sum(own) / (self.size * sum(whole)) * self._doubt(sum(own) / sum(whole))
        target = points[:, shoulder] + (self.at[:, wrist] - self.at[:, shoulder]) * ratio[:, None]
        move = (target - points[:, wrist]) * self._trust(shoulder, wrist)[:, None]
        tip = points[:, hand] - points[:, wrist]
        places = {elbow: points[:, elbow] + 0.5 * move, wrist: points[:, wrist] + move}
        for (a, b), length in zip(bones, own, strict=True):
            step = places[b] - points[:, a]
            now = np.maximum(np.linalg.norm(step, axis=1), 1e-6)
            kept = np.clip(now, SHORTEST * length * self.scale, LONGEST * length * self.scale)
            points[:, b] = points[:, a] + step * (kept / now)[:, None]
        points[:, hand] = points[:, wrist] + tip

    def _doubt(self, arms: float) -> float:
        """By how much the character's arms over the driver's, ``arms``, are to be taken for longer.

        People's arms are to their trunks as other people's are, within about the share by which a detector
        errs on either: the truth is likely between. What differs by more is no error.
        """
        if min(self.own_seen[Point.PELVIS], float(np.median(self.seen[:, Point.PELVIS]))) < 0.4:
            return 1.0
        # The driver's size is their trunk's length.
        trunks = float(np.linalg.norm(self.own[Point.NECK] - self.own[Point.PELVIS]))
        return float(np.sqrt(np.clip(trunks / arms, 1 - _ERRING, 1 + _ERRING)))

    def _tip(self, direction: Values, start: int, stop: int) -> Values:
        """Hands and feet turn with their limb, and by a limited part of their own bend."""
        limb = start - 1
        before = self.at[:, start] - self.at[:, limb]
        own_before = self.own[start] - self.own[limb]
        own = self.own[stop] - self.own[start]
        bend = _angle(direction) - np.arctan2(before[:, 1], before[:, 0])
        own_bend = np.arctan2(own[1], own[0]) - np.arctan2(own_before[1], own_before[0])
        trust = self._trust(start, stop, limb)
        unit = own / max(float(np.linalg.norm(own)), 1e-6)
        if start in (Point.LEFT_ANKLE, Point.RIGHT_ANKLE):
            # A foot stays nearly flat on the ground while the shin leans over it.
            return _turned(unit, 0.35 * self._limb_turn(limb, start))
        extra = np.clip(_wrapped(bend - own_bend), -0.7, 0.7)
        extra = smooth(self._steady(extra, trust, np.array(0.0)), 0.05 * self.scene.rate, self.scene.cuts)
        return _turned(unit, self._limb_turn(limb, start) + extra)

    def _limb_turn(self, start: int, stop: int) -> Values:
        step, own = self.at[:, stop] - self.at[:, start], self.own[stop] - self.own[start]
        turn = _wrapped(_angle(step) - np.arctan2(own[1], own[0]))
        trust = self._trust(start, stop)
        pair = self._steady(np.stack([np.cos(turn), np.sin(turn)], axis=1), trust, np.array([1.0, 0.0]))
        return np.arctan2(pair[:, 1], pair[:, 0])

    def _reference(self, bone: tuple[int, int], twin: tuple[int, int], name: str) -> float:
        """The bone's whole length over the body's size, of both of a pair.

        Of what is seen not the longest: a hand that is lost in its own blur is found far out.
        """
        lengths = [
            (np.linalg.norm(self.at[:, stop] - self.at[:, start], axis=1) / self.size)[seen]
            for start, stop in (bone, twin)
            if (seen := self._trust(start, stop) > 0.5).any()
        ]
        share = _WHOLE_ARM if name in ("upper", "fore", "hand") else _WHOLE_LEG
        whole = float(np.percentile(np.concatenate(lengths), share)) if lengths else 0.0
        # Arms that point at the camera throughout never show their whole length.
        return max(whole, 0.7 * _USUAL[name])

    def _own_length(self, bone: tuple[int, int], twin: tuple[int, int]) -> float:
        """The character's bone in its picture's pixels; of a pair the longer: one may be foreshortened."""
        lengths = [float(np.linalg.norm(self.own[b] - self.own[a])) for a, b in (bone, twin)]
        seen = [min(self.own_seen[a], self.own_seen[b]) > 0.3 for a, b in (bone, twin)]
        own = max([length for length, ok in zip(lengths, seen, strict=True) if ok], default=lengths[0])
        return float(np.clip(own, lengths[0], 1.25 * lengths[0]))

    def _roll(self) -> Values:
        """Turn of the head in the picture plane against the character's own."""
        level = self.joints[:, Joint.LEFT_EYE, :2] - self.joints[:, Joint.RIGHT_EYE, :2]
        own = self.character.joints[Joint.LEFT_EYE, :2] - self.character.joints[Joint.RIGHT_EYE, :2]
        span = np.linalg.norm(level, axis=1)
        reference = max(1e-3, float(np.percentile(span / self.size, 85))) * self.size
        angle = np.arctan2(level[:, 1], np.maximum(level[:, 0], 0.5 * reference))
        turn = np.clip(angle - np.arctan2(own[1], max(float(own[0]), 1e-3)), -0.7, 0.7)
        trust = ramp(level[:, 0] / reference, 0.1, 0.4)
        lean = self._spine()[0]
        default = np.arctan2(lean[:, 0], -lean[:, 1])
        steady = trusted(turn, trust, 0.2 * self.scene.rate, 0.5 * default, self.scene.cuts)
        return smooth(steady, 0.03 * self.scene.rate, self.scene.cuts)

    def _head_reach(self, roll: Values) -> Values:
        """From neck to head, (T, 2): the driver's direction and nod on the character's own neck."""
        reach = self.at[:, Point.HEAD] - self.at[:, Point.NECK]
        length = np.linalg.norm(reach, axis=1)
        share = length / (self.size * max(1e-3, float(np.median(length / self.size))))
        own = self.own[Point.HEAD] - self.own[Point.NECK]
        own_lean = np.arctan2(own[0], -own[1])
        lean = np.arctan2(reach[:, 0], -reach[:, 1])
        usual = float(np.median(lean - roll))
        turn = np.clip(lean - own_lean - 0.5 * usual, -0.6, 0.6)
        length_now = self.scale * np.clip(share, 0.88, 1.1)
        return np.asarray(_turned(own, turn) * length_now[:, None], np.float64)

    def _turn(self) -> Values:
        """Yaw and pitch of the face from where nose and mouth are between eyes and ears."""
        driver = face_turn(self.joints)
        own = face_turn(self.character.joints[None].astype(np.float64))[0]
        usual_pitch = float(np.median(driver[:, 1]))
        turn = driver - np.array([own[0], usual_pitch])
        return np.clip(smooth(turn, 0.06 * self.scene.rate, self.scene.cuts), -1, 1)

    def _behind(self) -> Values:
        """How far behind the trunk each arm's lower half is, 0-1; arms are in front unless that is clear."""
        out = np.zeros((len(self.at), 2))
        trunk = self.depth[:, [Point.NECK, Point.PELVIS]].max(axis=1)
        for i, side in enumerate((0, SIDE)):
            wrist = np.minimum(self.depth[:, Point.LEFT_WRIST + side], self.depth[:, Point.LEFT_ELBOW + side])
            away = (wrist - trunk) / np.maximum(self.size, 1e-3)
            out[:, i] = smooth(switch(smooth(away, 3, self.scene.cuts), 0.15, 0.4) * 1.0, 1, self.scene.cuts)
        return out

    def _root(self, points: Values) -> Values:
        """By how much the body must move so that its feet stand where the driver's do, (T, 2)."""
        feet = [Point.LEFT_ANKLE, Point.RIGHT_ANKLE]
        driver = self.at[:, feet]
        # The lower foot carries the weight: it decides, and two at the same height share.
        load = np.exp(
            (driver[..., 1] - driver[..., 1].max(axis=1, keepdims=True)) / (0.06 * self.size[:, None])
        )
        load /= load.sum(axis=1, keepdims=True)
        move = ((driver - points[:, feet]) * load[..., None]).sum(axis=1)
        return np.asarray(move * self._grounded()[:, None], np.float64)

    def _grounded(self) -> Values:
        """How sure the driver's feet are in the frame, 0-1 (T,), slowly changing."""
        if not self.character.has_legs:
            return np.zeros(len(self.at))
        inside = self.at[:, [Point.LEFT_ANKLE, Point.RIGHT_ANKLE], 1].max(axis=1) < 1.02 * self.scene.size[1]
        seen = ramp(self.seen[:, [Point.LEFT_ANKLE, Point.RIGHT_ANKLE]].max(axis=1), 0.3, 0.6) * inside
        return smooth(seen, 0.3 * self.scene.rate, self.scene.cuts)


def _angle(vectors: Values) -> Values:
    return np.asarray(np.arctan2(vectors[..., 1], vectors[..., 0]), np.float64)


def _wrapped(angles: Values) -> Values:
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi, np.float64)


def _turned(vector: Values, angles: Values) -> Values:
    """One vector turned by each of ``angles``, (T, 2)."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([cos * vector[0] - sin * vector[1], sin * vector[0] + cos * vector[1]], axis=-1)
