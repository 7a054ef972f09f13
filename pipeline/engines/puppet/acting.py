"""What the driver's face does, as a character's face is to do it, for the whole video at once.

Every face has its own rest: the driver's is measured over all frames, so that a frame's expression
is the same in whatever segment it is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.engines.base import Scene
from pipeline.engines.puppet.signals import Values, ramp, smooth, trusted
from pipeline.perception.tracks import Face, Person

#: A mouth as open as this share of the face's height is as open as one gets.
_WIDEST_GAP = 0.26
#: An eye below the first share of its usual opening is shut, above the second it is open: what a
#: detector's noise moves between is no blink.
_SHUT, _OPEN = 0.3, 0.8
#: What mouths at rest are like, of the people and paintings that this was tried on.
_WIDE_AT_REST, _SMILE_AT_REST = (0.32, 0.46), (-0.02, 0.03)
#: A face seen less than this is not seen.
_UNSEEN = 1e-3
_EYES = [Face.LEFT_EYE, Face.RIGHT_EYE]
_BROWS = [Face.LEFT_BROW, Face.RIGHT_BROW]


@dataclass(frozen=True, slots=True)
class Expression:
    """One frame of a face's acting; shares of the face's height, as in ``Face``."""

    #: Gap between the lips; 0 for a shut mouth.
    jaw: float = 0.0
    #: How far that gap counts against the picture's own, 0-1.
    sure: float = 1.0
    #: Width of the mouth over its usual one.
    wide: float = 1.0
    #: How far the corners of the mouth are lifted.
    smile: float = 0.0
    #: Opening of the left and the right eye over the character's own, 0-1.
    eyes: tuple[float, float] = (1.0, 1.0)
    #: How far the brows are raised.
    brows: tuple[float, float] = (0.0, 0.0)


class Acting:
    """The driver's face through a video of T frames."""

    def __init__(self, person: Person, scene: Scene) -> None:
        """``person`` must have been looked at for a face; frames without one fade to rest."""
        assert person.face is not None
        face = person.face.astype(np.float64)
        seen = np.isfinite(face).all(axis=1) & person.present
        self._rate, self._cuts = scene.rate, scene.cuts
        #: float64 (T,): how far the face was seen, 0-1.
        self.seen: Values = smooth(seen.astype(np.float64), 0.1 * scene.rate, scene.cuts)
        self._trust = seen.astype(np.float64)
        #: float64 (T, 3): yaw, pitch and roll in radians; the pitch from its usual one.
        self.turn: Values = np.zeros((len(face), 3))
        self._jaw, self._wide, self._smile = (np.zeros(len(face)) for _ in range(3))
        self._wide += 1
        self._eyes, self._brows = np.ones((len(face), 2)), np.zeros((len(face), 2))
        if seen.any():
            self._read(np.where(seen[:, None], face, 0.0), face[seen])

    def _read(self, face: Values, known: Values) -> None:
        low, usual, high = (np.percentile(known, share, axis=0) for share in (5, 50, 80))
        turn = face[:, :3] - np.array([0.0, usual[Face.PITCH], 0.0])
        self.turn = self._over_time(turn, 0.03, np.zeros(3))
        # Shut lips are 0 whoever's they are; who never shuts them all the way still has a least gap.
        gap = face[:, Face.JAW] - min(low[Face.JAW], 0.03)
        self._jaw = self._over_time(np.clip(gap, 0, _WIDEST_GAP), 0.012, np.zeros(()))
        # Who smiles all the time has no other face to tell it from than everybody's.
        wide = face[:, Face.WIDE] / np.clip(usual[Face.WIDE], *_WIDE_AT_REST)
        self._wide = self._over_time(np.clip(1 + 0.9 * (wide - 1), 0.7, 1.35), 0.02, np.ones(()))
        smile = np.clip(face[:, Face.SMILE] - np.clip(usual[Face.SMILE], *_SMILE_AT_REST), -0.03, 0.06)
        self._smile = self._over_time(smile, 0.03, np.zeros(()))
        # Lids fall together; seen from the side, one of two is a guess.
        eyes = (face[:, _EYES] / np.maximum(high[_EYES], 1e-3)).mean(axis=1)
        lids = np.repeat(ramp(eyes, _SHUT, _OPEN)[:, None], 2, axis=1)
        self._eyes = self._over_time(lids, 0.012, np.ones(2))
        brows = np.clip(1.5 * (face[:, _BROWS] - usual[_BROWS]), -0.04, 0.06)
        self._brows = self._over_time(brows, 0.05, np.zeros(2))

    def _over_time(self, values: Values, seconds: float, rest: Values) -> Values:
        held = trusted(values, self._trust, 0.1 * self._rate, rest, self._cuts)
        return smooth(held, seconds * self._rate, self._cuts)

    def expression(self, frame: int) -> Expression | None:
        """What the face does in one frame; None where it was not seen for long."""
        if self.seen[frame] < _UNSEEN:
            return None
        left, right = (float(v) for v in self._eyes[frame])
        left_brow, right_brow = (float(v) for v in self._brows[frame])
        return Expression(
            jaw=float(self._jaw[frame]),
            sure=float(self.seen[frame]),
            wide=float(self._wide[frame]),
            smile=float(self._smile[frame]),
            eyes=(left, right),
            brows=(left_brow, right_brow),
        )
