"""Gathers what the looks at a piece find, frame by frame, until the piece is whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.base import Details, Pose
from pipeline.perception.hands import POINTS
from pipeline.perception.light import GRID, light_of
from pipeline.perception.looks import PLACES, look_of, mean_look
from pipeline.perception.pieces import Piece
from pipeline.perception.tracks import JOINTS, Face
from pipeline.spec import Span, VideoInfo

Frame = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Collector:
    """A piece in the making. Frames of the warm-up and behind the piece may be given, too.

    Looks may come from another thread than frames do: they touch nothing in common.
    """

    def __init__(self, span: Span, video: VideoInfo, matte_size: tuple[int, int]) -> None:
        self._span, self._video, self._matte_size = span, video, matte_size
        frames = len(span)
        self._looked = np.zeros(frames, np.bool_)
        self._joints: dict[int, Floats] = {}
        self._looks: dict[int, list[Floats]] = {}
        self._face: dict[int, Floats] = {}
        self._hands: dict[int, Floats] = {}
        self._cuts: list[int] = []
        self._camera = np.empty((frames, 3, 3))
        self._light = np.empty((frames, GRID[1], GRID[0], 4), np.uint8)
        self._origin = np.eye(3)

    def add_look(
        self, number: int, rgb: Frame, people: dict[int, Pose], details: dict[int, Details] | None = None
    ) -> None:
        """Who was seen in frame ``number``, in the pixels of ``rgb``; ``details`` where somebody looked."""
        index = number - self._span.start
        if not 0 <= index < len(self._span):
            return
        height, width = rgb.shape[:2]
        across, down = self._video.width / width, self._video.height / height
        factors = np.array([across, down, across, 1], np.float32)
        self._looked[index] = True
        for slot, pose in people.items():
            nobody = np.full((len(self._span), JOINTS, 4), np.nan, np.float32)
            self._joints.setdefault(slot, nobody)[index] = pose.joints * factors
            self._looks.setdefault(slot, []).append(look_of(rgb, pose.mask, pose.joints))
            if details is not None:
                self._add_details(slot, index, details[slot], factors[:2])

    def _add_details(self, slot: int, index: int, details: Details, factors: Floats) -> None:
        for kept, found, shape in (
            (self._face, details.face, (len(Face),)),
            (self._hands, None if details.hands is None else details.hands * factors, (2, POINTS, 2)),
        ):
            unseen = np.full((len(self._span), *shape), np.nan, np.float32)
            kept.setdefault(slot, unseen)[index] = np.nan if found is None else found

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
        unseen = np.zeros((1, PLACES, 4), np.float32)
        looks = [
            mean_look(np.array(self._looks[slot])) if slot in self._looks else unseen[0] for slot in slots
        ]
        detailed = slots if self._face else range(0)
        return Piece(
            start=self._span.start,
            looked=self._looked,
            joints=self._stacked(self._joints, slots, (JOINTS, 4)),
            looks=np.array(looks, np.float32).reshape(-1, PLACES, 4),
            face=self._stacked(self._face, detailed, (len(Face),)),
            hands=self._stacked(self._hands, detailed, (2, POINTS, 2)),
            cuts=np.array(self._cuts, np.int64),
            camera=self._camera,
            matte_size=self._matte_size,
            light=self._light,
        )

    def _stacked(self, found: dict[int, Floats], slots: range, shape: tuple[int, ...]) -> Floats:
        """float32 (slots, frames, ...): what was found of each slot; NaN where nothing was."""
        whole = np.full((len(slots), len(self._span), *shape), np.nan, np.float32)
        for slot in slots:
            if slot in found:
                whole[slot] = found[slot]
        return whole
