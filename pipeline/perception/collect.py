"""Gathers what the looks at a piece find, frame by frame, until the piece is whole."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.light import GRID, light_of
from pipeline.perception.looks import PLACES, look_of, mean_look
from pipeline.perception.pieces import Piece
from pipeline.perception.pose import Pose
from pipeline.perception.tracks import JOINTS, Face
from pipeline.spec import Span, VideoInfo

Frame = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Collector:
    """A piece in the making. Frames of the warm-up and behind the piece may be given, too."""

    def __init__(self, span: Span, video: VideoInfo, matte_size: tuple[int, int]) -> None:
        self._span, self._video, self._matte_size = span, video, matte_size
        frames = len(span)
        self._looked = np.zeros(frames, np.bool_)
        self._joints: dict[int, Floats] = {}
        self._looks: dict[int, list[Floats]] = {}
        self._cuts: list[int] = []
        self._camera = np.empty((frames, 3, 3))
        self._light = np.empty((frames, GRID[1], GRID[0], 4), np.uint8)
        self._origin = np.eye(3)
        # Looks come from another thread than frames do.
        self._lock = threading.Lock()

    def add_look(self, number: int, rgb: Frame, people: dict[int, Pose]) -> None:
        """Who was seen in frame ``number``, in the pixels of ``rgb``."""
        index = number - self._span.start
        if not 0 <= index < len(self._span):
            return
        height, width = rgb.shape[:2]
        across, down = self._video.width / width, self._video.height / height
        factors = np.array([across, down, across, 1], np.float32)
        with self._lock:
            self._looked[index] = True
            for slot, pose in people.items():
                nobody = np.full((len(self._span), JOINTS, 4), np.nan, np.float32)
                self._joints.setdefault(slot, nobody)[index] = pose.joints * factors
                self._looks.setdefault(slot, []).append(look_of(rgb, pose.mask, pose.joints))

    def add_frame(
        self, number: int, rgb: Frame, matte: Frame, camera: NDArray[np.float64], *, cut: bool
    ) -> None:
        """Frame ``number``: its picture and matte, and its camera's way from the first frame given."""
        index = number - self._span.start
        if index < 0:
            # Ends as the frame just before the piece: the one to which the camera is told.
            self._origin = np.linalg.inv(camera)
            return
        if cut:
            self._cuts.append(number)
        self._camera[index] = self._origin @ camera
        self._light[index] = light_of(rgb, matte)

    def piece(self) -> Piece:
        """All of it."""
        slots = range(max(self._joints, default=-1) + 1)
        nobody = np.full((len(self._span), JOINTS, 4), np.nan, np.float32)
        frames = len(self._span)
        return Piece(
            start=self._span.start,
            looked=self._looked,
            joints=np.array([self._joints.get(s, nobody) for s in slots], np.float32).reshape(
                -1, *nobody.shape
            ),
            looks=np.array(
                [
                    mean_look(np.array(self._looks[s])) if s in self._looks else np.zeros((PLACES, 4))
                    for s in slots
                ],
                np.float32,
            ).reshape(-1, PLACES, 4),
            face=np.zeros((0, frames, len(Face)), np.float32),
            hands=np.zeros((0, frames, 2, 21, 2), np.float32),
            cuts=np.array(self._cuts, np.int64),
            camera=self._camera,
            matte_size=self._matte_size,
            light=self._light,
        )
