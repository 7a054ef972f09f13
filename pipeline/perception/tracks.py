"""Who is where in a driving video: the one artifact that all later stages read.

A file of tracks is an npz without pickles: the same tracks make the same bytes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.spec import Model

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


class Face(enum.IntEnum):
    """What a face does, by its place in ``Person.face``. LEFT is the person's own."""

    YAW = 0  # radians, positive to the right of the picture
    PITCH = 1  # radians, positive down
    ROLL = 2  # radians, positive clockwise in the picture
    JAW = 3  # gap between the inner lips
    WIDE = 4  # distance between the corners of the mouth
    SMILE = 5  # how far the corners are above the middle of the lips
    LEFT_EYE = 6  # gap between the lids
    RIGHT_EYE = 7
    LEFT_BROW = 8  # from the eye's middle up to the brow
    RIGHT_BROW = 9


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
    #: int16 (T,): under which number the frame's matte has this person; -1 where it has not.
    slot: NDArray[np.int16]
    #: float32 (T, 10): what ``Face`` names; the last seven in shares of the face's height (brow to chin).
    #: NaN where the face was not seen well; None where nobody looked.
    face: NDArray[np.float32] | None = None
    #: float32 (T, 2, 21, 2): left and right hand, mediapipe's 21 points in the frame's pixels; NaN where
    #: a hand was not seen well; None where nobody looked.
    hands: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Tracks:
    """Everybody in a video of T frames, and what else is known of it as a whole."""

    #: The lead comes first.
    people: tuple[Person, ...]
    #: The first frame of each shot but the first.
    cuts: tuple[int, ...]
    #: Width and height of the mattes that go with the tracks.
    matte_size: tuple[int, int]
    #: float64 (T, 3, 3): from each frame's pixels to those of its shot's first frame; None for a
    #: camera that stands still.
    camera: NDArray[np.float64] | None = None
    #: uint8 (T, 9, 16, 4): each frame's ``light.light_of``; None where nobody looked.
    light: NDArray[np.uint8] | None = None
    #: The model that the tracks were made for: each looks for other things.
    model: Model = Model.V4

    def save(self, path: Path) -> None:
        """Write everything to ``path``."""
        arrays: dict[str, NDArray[Any]] = {
            "cuts": np.array(self.cuts, np.int64),
            "matte_size": np.array(self.matte_size, np.int64),
            "model": np.array(self.model.value, "U32"),
            "ids": np.array([person.id for person in self.people], "U32"),
        }
        arrays |= {name: value for name in ("camera", "light") if (value := getattr(self, name)) is not None}
        for number, person in enumerate(self.people):
            for name in _OF_PERSON:
                values = getattr(person, name)
                if values is not None:
                    arrays[f"{name}_{number}"] = values
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Tracks:
        """What ``save`` wrote."""
        with np.load(path, allow_pickle=False) as data:
            people = tuple(
                Person(str(name), **{key: data.get(f"{key}_{number}") for key in _OF_PERSON})
                for number, name in enumerate(data["ids"])
            )
            width, height = (int(side) for side in data["matte_size"])
            cuts = tuple(int(cut) for cut in data["cuts"])
            camera, light, model = data.get("camera"), data.get("light"), Model(str(data["model"]))
            return cls(people, cuts, (width, height), camera, light, model)


_OF_PERSON = ("joints", "present", "slot", "face", "hands")
