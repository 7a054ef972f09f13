"""What is true of a made scene, and what the detector makes of the truth: the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import VideoWriter, lay_samples, probe, read_frames
from pipeline.perception.tracks import Joint
from pipeline.quality.detect import Window, detected, windows
from pipeline.quality.joints import TWELVE, Floats, Marks
from pipeline.quality.scenes import MadeScene, Role
from pipeline.samples.actor import Figure
from pipeline.samples.maker import make_character
from pipeline.samples.music import SAMPLE_RATE, music
from pipeline.samples.play import Moment, look, painted

Picture = NDArray[np.uint8]
Counts = NDArray[np.uint16]

#: x264's quality of the driving videos: as what people upload, better than what the farm makes.
_CRF = 16
#: A pixel is covered from this level on, of 255: a shadow's faint end is no cover.
_COVERED = 5
#: Nearer to what covers than this, in pixels, a video is smeared by its codec.
_RIM = 3
#: A pixel that is clear for so many frames has been seen.
_SEEN_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Known:
    """A made scene with its files and its truth, for T frames, A actors and a room of (H', W')."""

    scene: MadeScene
    video: Path
    #: What a perfect render would show, encoded as a render is.
    ideal: Path
    #: The characters' pictures, in the order of the actors.
    pictures: tuple[Path, ...]
    world: Picture
    #: (T, 3, 3)
    views: NDArray[np.float64]
    #: What can be seen of each actor: uint8 (T, A, H, W), 0-255.
    masks: Picture
    #: Of each pixel of the room, in how many frames it is clear of people and shadows, and in how many it
    #: is under them: (H', W'). Close to them it is neither.
    clear: Counts
    under: Counts
    #: The drivers' joints, exact: (A, T, 12, 2).
    driver: Floats
    #: The doubles' joints, exact: (A, T, 12, 2), and which of them can be seen: (A, T, 12).
    truth: Floats
    shown: Marks
    #: Where the detector looked, actor by actor.
    windows: tuple[tuple[Window, ...], ...]
    #: What the detector finds in the driving video and in the ideal rendering: (A, T, 12, 3).
    found_driver: Floats
    found_ideal: Floats

    @property
    def size(self) -> tuple[int, int]:
        return self.scene.play.width, self.scene.play.height

    def detect(self, video: Path) -> Floats:
        """The joints in a video of the scene's size and length: (A, T, 12, 3)."""
        return detected(read_frames(video, probe(video)), self.windows, tracking=tracks(self.scene))

    def background(self, number: int) -> Picture:
        """The scene without anybody, as a frame sees it."""
        return look(self.world, self.views[number], self.size)

    def seen(self, number: int) -> Marks:
        """Which pixels of a frame were seen without people at some time, long enough to be known."""
        return self._in_frame(self.clear >= _SEEN_FRAMES, number)

    def hidden(self, number: int) -> Marks:
        """Which pixels of a frame were never seen without people."""
        return self._in_frame((self.clear == 0) & (self.under > 0), number)

    def crossed(self, number: int) -> Marks:
        """Which pixels of a frame somebody stood before, at some time."""
        return self._in_frame(self.under > 0, number)

    def _in_frame(self, of_room: Marks, number: int) -> Marks:
        return look(of_room.view(np.uint8) * np.uint8(255), self.views[number], self.size) > 127


def tracks(scene: MadeScene) -> bool:
    """Whether the detector may follow a person; of two it could follow the wrong one."""
    return len(scene.roles) == 1


def know(scene: MadeScene, folder: Path) -> Known:
    """Make the scene's files in ``folder``, and look at them."""
    play = scene.play
    world, views = play.world(), play.views()
    video = folder / "driver.mp4"
    masks, clear, under = _film(scene, world, video)
    ideal = folder / "ideal.mp4"
    shown = _film_ideal(scene, world, ideal)
    numbers = range(play.frames)
    driver = np.array([_pixels(play.figures(number)) for number in numbers]).swapaxes(0, 1)
    truth = np.array([_pixels(doubles(scene, number)) for number in numbers]).swapaxes(0, 1)
    where = tuple(
        windows(np.concatenate(both, axis=1), (play.width, play.height))
        for both in zip(driver, truth, strict=True)
    )

    def found(path: Path) -> Floats:
        return detected(read_frames(path, probe(path)), where, tracking=tracks(scene))

    return Known(
        scene=scene,
        video=video,
        ideal=ideal,
        pictures=tuple(_picture(role, folder / f"character-{i}.png") for i, role in enumerate(scene.roles)),
        world=world,
        views=views,
        masks=masks,
        clear=clear,
        under=under,
        driver=driver[:, :, TWELVE],
        truth=truth[:, :, TWELVE],
        windows=where,
        shown=shown,
        found_ideal=found(ideal),
        found_driver=found(video),
    )


def doubles(scene: MadeScene, number: int) -> tuple[Figure, ...]:
    """The characters in the drivers' true poses, in a frame's pixels."""
    figures = scene.play.figures(number)
    return tuple(role.double.of(figure) for role, figure in zip(scene.roles, figures, strict=True))


def _film_ideal(scene: MadeScene, world: Picture, path: Path) -> Marks:
    """Write what a perfect render would show; returns which joints can be seen there: (A, T, 12)."""
    play, shown = scene.play, []
    with VideoWriter(path, play.width, play.height, play.rate) as writer:
        for number, view in enumerate(play.views()):
            background = look(world, view, (play.width, play.height))
            moment = painted(background, doubles(scene, number))
            writer.write(moment.picture)
            shown.append(_shown(scene, moment))
    return np.array(shown).swapaxes(0, 1)


def _shown(scene: MadeScene, moment: Moment) -> Marks:
    """Which of the twelve joints of each actor (A, 12) are in the frame, in the character's picture and
    not behind somebody else."""
    marks = np.zeros((len(scene.roles), len(TWELVE)), bool)
    for actor, (role, figure, mask) in enumerate(zip(scene.roles, moment.figures, moment.masks, strict=True)):
        height, width = mask.shape
        for index, (x, y) in enumerate(np.round(figure.pixels()[TWELVE]).astype(int)):
            inside = 0 <= x < width and 0 <= y < height
            drawn = not (role.waist and TWELVE[index] >= Joint.LEFT_KNEE)
            marks[actor, index] = inside and drawn and mask[y, x] > 127
    return marks


def _film(scene: MadeScene, world: Picture, video: Path) -> tuple[Picture, Counts, Counts]:
    """Write the driving video; returns the masks, and in how many frames the room is clear and covered."""
    play, masks = scene.play, []
    silent = video.with_name(f".{video.name}")
    clear, under = (np.zeros(world.shape[:2], np.uint16) for _ in range(2))
    rim = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
    with VideoWriter(silent, play.width, play.height, play.rate, crf=_CRF) as writer:
        for moment, view in zip(play.moments(world), play.views(), strict=True):
            writer.write(moment.picture)
            masks.append(np.stack(moment.masks))
            taken = (moment.cover > _COVERED).astype(np.uint8)
            under += _in_room(taken, view, world)
            clear += _in_room((cv2.dilate(taken, rim) == 0).astype(np.uint8), view, world)
    lay_samples(silent, music(play.seconds), SAMPLE_RATE, video)
    silent.unlink()
    return np.array(masks), clear, under


def _in_room(marks: Picture, view: NDArray[np.float64], world: Picture) -> Picture:
    """A frame's marks in the room's pixels; 0 where the frame does not reach."""
    height, width = world.shape[:2]
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(marks, view, (width, height), flags=flags), np.uint8)


def _picture(role: Role, path: Path) -> Path:
    """The character's picture."""
    size = (900, 900) if role.waist else (700, 1100)
    double = role.double
    make_character(
        path,
        **dict(zip(("width", "height"), size, strict=True)),
        look=double.look,
        body=double.body,
        scenery=role.scenery,
        waist=role.waist,
    )
    return path


def _pixels(figures: Sequence[Figure]) -> Floats:
    """(A, 33, 2)"""
    return np.array([figure.pixels() for figure in figures])
