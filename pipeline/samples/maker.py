"""Puts people, places and music together into files whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.ffmpeg import GrayWriter, VideoWriter, lay_samples
from pipeline.samples.backdrop import park, room
from pipeline.samples.figure import draw, place
from pipeline.samples.looks import CHARACTER, DANCER, Look, Mood
from pipeline.samples.music import SAMPLE_RATE, music
from pipeline.samples.paint import Canvas, Oval
from pipeline.samples.pose import JOINTS, Body, dance, skeleton, stand

#: The dancer's body; the character has a larger head, as characters do.
DANCER_BODY = Body()
CHARACTER_BODY = Body(head=0.112, neck=0.044)


@dataclass(frozen=True, slots=True)
class Scene:
    """A driving video to make; sides must be even."""

    width: int = 1280
    height: int = 720
    seconds: float = 6.0
    rate: Fraction = Fraction(30)
    sound: bool = True
    look: Look = DANCER
    #: The dancer's height and the place of the feet, as shares of the frame.
    tall: float = 0.72
    feet: tuple[float, float] = (0.5, 0.91)
    #: How far the camera swings to each side in six seconds, as a share of the width.
    swing: float = 0.0
    #: x264's quality; the samples are committed, so they are smaller than what the farm makes.
    crf: int = 24

    @property
    def frames(self) -> int:
        return round(self.seconds * self.rate)


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a made driving video."""

    #: Every joint in every frame, float32 ``(frames, 33, 2)`` in pixels, in the order of ``JOINTS``.
    joints: NDArray[np.float32]
    #: The scene without the person (as the first frame sees it), uint8 ``(height, width, 3)``.
    background: NDArray[np.uint8]
    #: By how many pixels each frame's view is moved to the right of the first's, ``(frames,)``.
    shifts: NDArray[np.int64]

    def save(self, path: Path) -> None:
        """As a .npz with ``joints``, ``names``, ``background`` and ``shifts``."""
        np.savez_compressed(
            path,
            allow_pickle=False,
            joints=self.joints,
            names=np.array(JOINTS),
            background=self.background,
            shifts=self.shifts,
        )


def make(folder: Path) -> list[Path]:
    """Make the samples in ``folder``, and their truth in its folder ``truth``; returns all paths."""
    truth = folder / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    made = [folder / "character.png", folder / "character_scene.png", folder / "driver.mp4"]
    make_character(made[0])
    make_character(made[1], width=540, height=810, scenery=True)
    known = make_driver(made[2], Scene(), mask=truth / "mask.mkv")
    known.save(truth / "truth.npz")
    Image.fromarray(known.background).save(truth / "background.png", optimize=True)
    return [*made, truth / "mask.mkv", truth / "truth.npz", truth / "background.png"]


def make_character(
    path: Path, *, width: int = 700, height: int = 1100, look: Look = CHARACTER, scenery: bool = False
) -> NDArray[np.float32]:
    """Draw a character's picture, with alpha or in a park; returns its joints, ``(33, 2)`` in pixels."""
    canvas = Canvas(width, height)
    joints = skeleton(CHARACTER_BODY, stand())
    scale = (0.76 if scenery else 0.845) * height
    origin = (width / 2, (0.94 if scenery else 0.965) * height)
    mood = Mood(eyes=1.0, mouth=0.55)
    if not scenery:
        draw(canvas, joints, CHARACTER_BODY, look, mood, origin, scale)
        Image.fromarray(canvas.rgba()).save(path, optimize=True)
    else:
        _shadow(canvas, joints, origin, scale)
        draw(canvas, joints, CHARACTER_BODY, look, mood, origin, scale)
        Image.fromarray(canvas.over(park(width, height))).save(path, optimize=True)
    at = place(joints, origin, scale)
    return np.array([at[name] for name in JOINTS], np.float32)


def make_driver(path: Path, scene: Scene, mask: Path | None = None) -> Truth:
    """Write the driving video ``path`` (and the person's mask as lossless video); returns the truth."""
    wide = room(scene.width + 2 * _margin(scene), scene.height)
    joints: list[list[tuple[float, float]]] = []
    silent = path.with_name(f".{path.name}.silent.mp4") if scene.sound else path
    with ExitStack() as stack:
        video = stack.enter_context(VideoWriter(silent, scene.width, scene.height, scene.rate, crf=scene.crf))
        masks = GrayWriter(mask, scene.width, scene.height, scene.rate) if mask else None
        if masks:
            stack.enter_context(masks)
        for frame, matte, at in _frames(scene, wide):
            video.write(frame)
            if masks:
                masks.write(matte)
            joints.append(at)
    if scene.sound:
        lay_samples(silent, music(scene.seconds), SAMPLE_RATE, path)
        silent.unlink()
    shifts = np.array([_shift(scene, index) for index in range(scene.frames)])
    first = _margin(scene) + int(shifts[0])
    background = np.ascontiguousarray(wide[:, first : first + scene.width])
    return Truth(np.array(joints, np.float32), background, shifts - shifts[0])


def _frames(
    scene: Scene, wide: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], list[tuple[float, float]]]]:
    scale = scene.tall * scene.height
    for index in range(scene.frames):
        second = float(index / scene.rate)
        shift = _shift(scene, index)
        origin = (scene.feet[0] * scene.width - shift, scene.feet[1] * scene.height)
        joints = skeleton(DANCER_BODY, dance(second))
        floor, person = Canvas(scene.width, scene.height), Canvas(scene.width, scene.height)
        _shadow(floor, joints, origin, scale)
        draw(person, joints, DANCER_BODY, scene.look, _mood(second), origin, scale)
        left = _margin(scene) + shift
        frame = person.over(floor.over(wide[:, left : left + scene.width]))
        at = place(joints, origin, scale)
        matte = np.round(person.alpha * 255).astype(np.uint8)
        yield frame, matte, [at[name] for name in JOINTS]


def _margin(scene: Scene) -> int:
    return int(np.ceil(scene.swing * scene.width))


def _shift(scene: Scene, index: int) -> int:
    """How far the camera has swung to the right, in whole pixels: the background stays exact."""
    return round(scene.swing * scene.width * float(np.sin(index / scene.rate / 6 * 2 * np.pi)))


def _mood(second: float) -> Mood:
    """Blinks now and then, and sings along."""
    blink = second % 2.7
    eyes = abs(blink - 2.5) / 0.1 if abs(blink - 2.5) < 0.1 else 1.0
    return Mood(eyes=eyes, mouth=0.45 + 0.35 * float(np.sin(second * 2 * np.pi)) ** 2)


def _shadow(
    canvas: Canvas, joints: dict[str, NDArray[np.float64]], origin: tuple[float, float], scale: float
) -> None:
    """Soft contact shadows: fainter under a lifted foot."""
    for side in ("left", "right"):
        x, y, _ = (joints[f"{side}_heel"] + joints[f"{side}_foot_index"]) / 2
        lift = max(0.0, float(y) - 0.02)
        spot = Oval((origin[0] + x * scale, origin[1] + 0.012 * scale), 0.058 * scale, 0.016 * scale)
        canvas.fill(spot, (30, 18, 16), opacity=0.5 * float(np.exp(-lift * 14)), soft=0.022 * scale)
    middle = (joints["left_hip"] + joints["right_hip"]) / 2
    wide = Oval((origin[0] + middle[0] * scale, origin[1] + 0.012 * scale), 0.17 * scale, 0.026 * scale)
    canvas.fill(wide, (30, 18, 16), opacity=0.22, soft=0.04 * scale)
