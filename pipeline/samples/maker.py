"""Puts people, places and music together into files whose truth is known."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.ffmpeg import GrayWriter, VideoWriter, lay_samples
from pipeline.samples.actor import CHARACTER_BODY, Actor, Figure
from pipeline.samples.backdrop import park
from pipeline.samples.looks import CHARACTER, DANCER, Look, Mood
from pipeline.samples.music import SAMPLE_RATE, music
from pipeline.samples.paint import Canvas
from pipeline.samples.play import Camera, Play
from pipeline.samples.pose import JOINTS, Body, skeleton, stand

#: How high the usual character's crown is, in its own body heights.
_USUAL_CROWN = float(skeleton(CHARACTER_BODY, stand())["crown"][1])


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

    def play(self) -> Play:
        """The scene as a play with one actor."""
        actor = Actor(look=self.look, tall=self.tall, feet=self.feet)
        size = self.width, self.height
        return Play(*size, self.seconds, self.rate, (actor,), Camera(swing=self.swing))


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
    path: Path,
    *,
    width: int = 700,
    height: int = 1100,
    look: Look = CHARACTER,
    body: Body = CHARACTER_BODY,
    scenery: bool = False,
    waist: bool = False,
) -> NDArray[np.float32]:
    """Draw a character's picture, with alpha or in a park; returns its joints, ``(33, 2)`` in pixels.

    With ``waist`` the picture ends at half of the thighs.
    """
    canvas = Canvas(width, height)
    joints = skeleton(body, stand())
    tall = float(joints["crown"][1]) / _USUAL_CROWN
    scale = (0.76 if scenery else 0.845) * height / tall
    feet = (0.94 if scenery else 0.965) * height
    if waist:
        below = float(joints["left_hip"][1]) - 0.5 * body.thigh
        scale *= _USUAL_CROWN / (float(joints["crown"][1]) - below)
        feet = height + below * scale
    figure = Figure(joints, body, look, Mood(eyes=1.0, mouth=0.55), (width / 2, feet), scale)
    if scenery:
        figure.shade(canvas)
    figure.paint(canvas)
    picture = canvas.over(park(width, height)) if scenery else canvas.rgba()
    Image.fromarray(picture).save(path, optimize=True)
    return figure.pixels().astype(np.float32)


def make_driver(path: Path, scene: Scene, mask: Path | None = None) -> Truth:
    """Write the driving video ``path`` (and the person's mask as lossless video); returns the truth."""
    play = scene.play()
    joints, background = [], None
    silent = path.with_name(f".{path.name}.silent.mp4") if scene.sound else path
    with ExitStack() as stack:
        video = stack.enter_context(VideoWriter(silent, scene.width, scene.height, scene.rate, crf=scene.crf))
        masks = GrayWriter(mask, scene.width, scene.height, scene.rate) if mask else None
        if masks:
            stack.enter_context(masks)
        for moment in play.moments(play.world()):
            video.write(moment.picture)
            if masks:
                masks.write(moment.masks[0])
            joints.append(moment.figures[0].pixels())
            background = moment.background if background is None else background
    if scene.sound:
        lay_samples(silent, music(scene.seconds), SAMPLE_RATE, path)
        silent.unlink()
    assert background is not None
    shifts = -play.views()[:, 0, 2].astype(np.int64)
    return Truth(np.array(joints, np.float32), np.ascontiguousarray(background), shifts - shifts[0])
