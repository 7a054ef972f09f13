"""Who is where in a driving video: the one artifact that all later stages read.

A file of tracks is an npz without pickles: the same tracks make the same bytes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: mediapipe's pose has 33 joints.
JOINTS = 33


class Joint(enum.IntEnum):
    """The joints that the house reads by name, by their place in mediapipe's 33."""

    NOSE = 0
    LEFT_EYE = 2
    RIGHT_EYE = 5
    LEFT_EAR = 7
    RIGHT_EAR = 8
    MOUTH_LEFT = 9
    MOUTH_RIGHT = 10
    LEFT_SHOULDER = 11
    RIGHT_SHOULDER = 12
    LEFT_ELBOW = 13
    RIGHT_ELBOW = 14
    LEFT_WRIST = 15
    RIGHT_WRIST = 16
    LEFT_PINKY = 17
    RIGHT_PINKY = 18
    LEFT_INDEX = 19
    RIGHT_INDEX = 20
    LEFT_THUMB = 21
    RIGHT_THUMB = 22
    LEFT_HIP = 23
    RIGHT_HIP = 24
    LEFT_KNEE = 25
    RIGHT_KNEE = 26
    LEFT_ANKLE = 27
    RIGHT_ANKLE = 28
    LEFT_HEEL = 29
    RIGHT_HEEL = 30
    LEFT_FOOT = 31
    RIGHT_FOOT = 32


#: The lines that a drawing of a pose is made of.
BONES: tuple[tuple[int, int], ...] = (
    (Joint.NOSE, Joint.LEFT_EYE),
    (Joint.NOSE, Joint.RIGHT_EYE),
    (Joint.LEFT_EYE, Joint.LEFT_EAR),
    (Joint.RIGHT_EYE, Joint.RIGHT_EAR),
    (Joint.MOUTH_LEFT, Joint.MOUTH_RIGHT),
    (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER),
    (Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW),
    (Joint.LEFT_ELBOW, Joint.LEFT_WRIST),
    (Joint.LEFT_WRIST, Joint.LEFT_INDEX),
    (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW),
    (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST),
    (Joint.RIGHT_WRIST, Joint.RIGHT_INDEX),
    (Joint.LEFT_SHOULDER, Joint.LEFT_HIP),
    (Joint.RIGHT_SHOULDER, Joint.RIGHT_HIP),
    (Joint.LEFT_HIP, Joint.RIGHT_HIP),
    (Joint.LEFT_HIP, Joint.LEFT_KNEE),
    (Joint.LEFT_KNEE, Joint.LEFT_ANKLE),
    (Joint.LEFT_ANKLE, Joint.LEFT_FOOT),
    (Joint.RIGHT_HIP, Joint.RIGHT_KNEE),
    (Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE),
    (Joint.RIGHT_ANKLE, Joint.RIGHT_FOOT),
)


@dataclass(frozen=True, slots=True)
class Person:
    """One person through the whole video of T frames."""

    #: ``person_xxxxxxxx``: stays with the person from frame to frame.
    id: str
    #: float32 (T, 33, 4): x, y and z in the frame's pixels (a smaller z is nearer), visibility 0-1;
    #: NaN where the person is absent.
    joints: NDArray[np.float32]
    #: bool (T,)
    present: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tracks:
    """Everybody in a video, and the frames at which new shots begin."""

    people: tuple[Person, ...]
    #: The first frame of each shot but the first.
    cuts: tuple[int, ...]
    #: Width and height of the mattes that go with the tracks.
    matte_size: tuple[int, int]
    #: float64 (T, 3, 3): from each frame's pixels to those of its shot's first frame; None for a
    #: camera that stands still.
    camera: NDArray[np.float64] | None = None

    def save(self, path: Path) -> None:
        """Write everything to ``path``."""
        frames = len(self.people[0].present) if self.people else 0
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                ids=np.array([person.id for person in self.people], dtype="U32"),
                joints=np.stack([person.joints for person in self.people])
                if self.people
                else np.zeros((0, frames, JOINTS, 4), np.float32),
                present=np.stack([person.present for person in self.people])
                if self.people
                else np.zeros((0, frames), np.bool_),
                cuts=np.array(self.cuts, dtype=np.int64),
                matte_size=np.array(self.matte_size, dtype=np.int64),
                camera=np.zeros((0, 3, 3)) if self.camera is None else self.camera,
            )

    @classmethod
    def load(cls, path: Path) -> Tracks:
        """What ``save`` wrote."""
        with np.load(path, allow_pickle=False) as data:
            people = tuple(
                Person(str(name), joints, present)
                for name, joints, present in zip(data["ids"], data["joints"], data["present"], strict=True)
            )
            width, height = (int(side) for side in data["matte_size"])
            camera = data["camera"] if len(data["camera"]) else None
            return cls(people, tuple(int(cut) for cut in data["cuts"]), (width, height), camera)
