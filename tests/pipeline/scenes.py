"""Made scenes with known truth: a textured wall, a figure that walks, a camera that stands or pans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import VideoWriter, probe
from pipeline.perception.light import light_of
from pipeline.perception.mattes import MatteWriter
from pipeline.perception.tracks import JOINTS, Person, Tracks
from pipeline.plate import gather, make_plate
from pipeline.protocol import Item, Progress, Report, Request
from pipeline.spec import Model, Plan, RenderSpec, Stage, VideoInfo, plan_for

Frame = NDArray[np.uint8]
RATE = Fraction(15)
WIDTH, HEIGHT = 320, 180
MATTE = (160, 90)


def wall(width: int, height: int, seed: int = 6) -> Frame:
    random = np.random.default_rng(seed)
    coarse = random.integers(60, 200, (height // 16, width // 16, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@dataclass(frozen=True)
class WalkingBlock:
    """A dark block, ``size`` = (width, height), that walks ``speed`` pixels a frame over the wall."""

    frames: int = 30
    speed: float = 8.0
    size: tuple[int, int] = (40, 100)
    #: Pixels to the right that the camera moves in each frame.
    pan: float = 0.0
    #: How much brighter each frame is than the one before.
    brighter: float = 0.0

    def background(self, number: int) -> Frame:
        """The truth: frame ``number`` without the block."""
        pan = self.pan * number
        move = np.array([[1, 0, -pan], [0, 1, 0]], np.float64)
        big = wall(WIDTH * 2, HEIGHT)
        seen = cv2.warpAffine(big, move, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
        return np.clip(seen * (1 + self.brighter * number), 0, 255).astype(np.uint8)

    def mask(self, number: int) -> NDArray[np.bool_]:
        left = round(20 + self.speed * number)
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[HEIGHT - self.size[1] :, max(0, left) : left + self.size[0]] = True
        return mask

    def frame(self, number: int) -> Frame:
        frame = self.background(number)
        frame[self.mask(number)] = (20, 10, 40)
        return frame

    def matte(self, number: int) -> Frame:
        mask = self.mask(number).astype(np.uint8) * 255
        return np.asarray(cv2.resize(mask, MATTE, interpolation=cv2.INTER_AREA), np.uint8)

    def camera(self) -> NDArray[np.float64] | None:
        """From each frame's pixels to the first's; None for a camera that stands still."""
        if not self.pan:
            return None
        camera = np.tile(np.eye(3), (self.frames, 1, 1))
        camera[:, 0, 2] = self.pan * np.arange(self.frames)
        return camera

    def tracks(self) -> Tracks:
        joints = np.zeros((self.frames, JOINTS, 4), np.float32)
        person = Person(
            "person_00000000", joints, np.ones(self.frames, bool), np.zeros(self.frames, np.int16)
        )
        light = np.stack([light_of(self._small(number), self.matte(number)) for number in range(self.frames)])
        return Tracks((person,), (), MATTE, self.camera(), light)

    def _small(self, number: int) -> Frame:
        """The frame as perception looks at it."""
        return np.asarray(cv2.resize(self.frame(number), MATTE, interpolation=cv2.INTER_AREA), np.uint8)

    def request(self, folder: Path, plan: Plan | None = None) -> Request:
        """A SAMPLE request for this scene, its inputs written into ``folder``; for ``plate_of``."""
        plan = plan or plan_for(Model.V4)
        inputs = {"video": folder / "video.mp4", "tracks": folder / "tracks.npz"}
        with VideoWriter(inputs["video"], WIDTH, HEIGHT, RATE) as writer:
            for frame in self._frames():
                writer.write(frame)
        self.tracks().save(inputs["tracks"])
        for piece in plan.pieces(self.frames):
            path = inputs[f"matte-{piece.index:04d}"] = folder / f"matte-{piece.index:04d}.mkv"
            with MatteWriter(path, MATTE, RATE) as writer:
                for number in range(piece.start, piece.stop):
                    matte = self.matte(number)
                    writer.write(matte, np.zeros_like(matte))
        out = folder / "out"
        out.mkdir()
        spans = plan.pieces(self.frames)
        return Request(Stage.SAMPLE, RenderSpec(), plan, out, inputs, self.info(inputs["video"]), spans)

    def info(self, path: Path) -> VideoInfo:
        info = probe(path)
        assert info.frames == self.frames
        return info

    def _frames(self) -> Iterator[Frame]:
        return (self.frame(number) for number in range(self.frames))


@dataclass(frozen=True)
class Handheld(WalkingBlock):
    """Filmed from the hand: every frame is shifted by parts of a pixel, turned and zoomed a little."""

    def _way(self, number: int) -> NDArray[np.float64]:
        """From a frame's pixels to the wall's."""
        turn, zoom = 0.008 * np.sin(0.7 * number), 1 + 0.012 * np.sin(0.4 * number)
        cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
        right, down = 40.0 + 2.3 * np.sin(1.1 * number), 5.0 + 1.7 * np.sin(0.9 * number)
        return np.array([[cos, -sin, right], [sin, cos, down], [0, 0, 1]])

    def background(self, number: int) -> Frame:
        flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
        big = wall(WIDTH + 80, HEIGHT + 20)
        seen = cv2.warpPerspective(
            big, self._way(number), (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        return np.asarray(seen, np.uint8)

    def camera(self) -> NDArray[np.float64]:
        home = np.linalg.inv(self._way(0))
        return np.stack([home @ self._way(number) for number in range(self.frames)])


@dataclass(frozen=True)
class Flickering(WalkingBlock):
    """Under a lamp that flickers: every other frame is darker."""

    def background(self, number: int) -> Frame:
        steady = super().background(number)
        return np.asarray(np.rint(steady * (0.93 if number % 2 else 1.0)), np.uint8)


def plate_of(request: Request, report: Report = lambda _: None) -> Path:
    """The plate of a scene's request, made by way of its samples; what is told is told to ``report``."""
    samples: dict[str, Path] = {}

    def listen(event: Progress | Item) -> None:
        if isinstance(event, Item):
            samples.update({name: Path(path) for name, path in event.files.items()})

    gather(request, listen)
    inputs = {"tracks": request.inputs["tracks"], **samples}
    done = make_plate(replace(request, stage=Stage.PLATE, inputs=inputs, spans=()), report)
    return Path(done.files["plate"])


def psnr(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """dB between two uint8 pictures, or runs of pixels."""
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))
