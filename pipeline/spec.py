"""The words the rooms share: what to render, what a video is, how the work is cut.

Everything here is frozen, small and free of heavy imports; the ingress, the farm and the workers
all speak it. ``to_json``/``from_json`` pairs are plain dictionaries fit for a JSON column.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, Self

#: Bumped when the way a video is cut into pieces or segments, or encoded, changes.
PLAN_VERSION = "3"
#: Bumped when the tracks, mattes or plates made from the same video change.
PERCEPTION_VERSION = "3"
#: The filler of plates that needs no weights.
EMBEDDED_FILL = "patches"


class Model(StrEnum):
    """The models a job may ask for; each is bound to its own pool of workers."""

    V3 = "V3_Preview"
    V4 = "V4_Preview"


class Background(StrEnum):
    """What stands behind the character."""

    ORIGINAL = "original"  # the driving video's scene without its person
    SOLID = "solid"  # one colour
    TRANSPARENT = "transparent"  # black, and a second video with the mask


class Stage(StrEnum):
    """The stages that jobs consist of, in the order in which they are passed."""

    FETCH = "fetch"  # addresses -> picture, video: nothing is drawn, and nothing else begins before
    REFERENCE = "reference"  # picture -> character
    ANALYSE = "analyse"  # video -> pieces: joints and mattes, piece by piece
    JOIN = "join"  # pieces -> tracks, matte, shots and segments of the whole
    SAMPLE = "sample"  # video, tracks -> the frames that plates are made from, piece by piece
    PLATE = "plate"  # tracks, samples -> the background without the people
    SEGMENT = "segment"  # all of it -> encoded segments
    PORTRAIT = "portrait"  # picture or people -> what a stored character or scene is known by
    STITCH = "stitch"  # segments -> the finished video, with sound


#: The stages of a render from a picture and a video, in order.
RENDER = (
    Stage.REFERENCE,
    Stage.ANALYSE,
    Stage.JOIN,
    Stage.SAMPLE,
    Stage.PLATE,
    Stage.SEGMENT,
    Stage.STITCH,
)

#: The stages that prepare a character from a picture, and a scene from a video.
CHARACTER = (Stage.REFERENCE, Stage.PORTRAIT)
SCENE = (Stage.ANALYSE, Stage.JOIN, Stage.SAMPLE, Stage.PLATE, Stage.PORTRAIT)

#: What each stage waits for, of what its job consists of. The unit that finishes the last of them makes
#: the next.
NEEDS: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.FETCH: (),
    Stage.REFERENCE: (Stage.FETCH,),
    Stage.ANALYSE: (Stage.FETCH,),
    Stage.JOIN: (Stage.ANALYSE,),
    Stage.SAMPLE: (Stage.JOIN,),
    Stage.PLATE: (Stage.SAMPLE,),
    Stage.SEGMENT: (Stage.REFERENCE, Stage.PLATE),
    Stage.PORTRAIT: (Stage.REFERENCE, Stage.PLATE),
    Stage.STITCH: (Stage.SEGMENT,),
}


@dataclass(frozen=True, slots=True)
class EngineId:
    """Which engine makes a model's picture; part of the key of every artifact it makes."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


#: The embedded engine of each model. The registry in ``pipeline.engines`` builds them by name.
ENGINES: Mapping[Model, EngineId] = {
    Model.V3: EngineId("puppet_v3", "2"),
    Model.V4: EngineId("puppet_v4", "2"),
}


@dataclass(frozen=True, slots=True)
class RenderSpec:
    """What the user asked to see."""

    model: Model = Model.V4
    background: Background = Background.ORIGINAL
    #: Red, green, blue, 0-255; used only with ``Background.SOLID``.
    bg_color: tuple[int, int, int] = (0, 255, 0)
    #: Who plays whom: (a person's id, the number of a character). People left out keep their own looks.
    #: Empty: character 0 plays the lead.
    cast: tuple[tuple[str, int], ...] = ()

    @property
    def characters(self) -> tuple[int, ...]:
        """The numbers of the characters that play, in order."""
        return tuple(sorted({number for _, number in self.cast})) or (0,)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model.value,
            "background": self.background.value,
            "bg_color": list(self.bg_color),
            "cast": dict(self.cast),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        red, green, blue = data["bg_color"]
        cast = tuple((str(person), int(number)) for person, number in data.get("cast", {}).items())
        return cls(Model(data["model"]), Background(data["background"]), (red, green, blue), cast)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A video as the one reader of all stages delivers it, never as its container claims.

    ``width`` and ``height`` are in pixels after rotation, with odd sides one smaller (the output
    is yuv420p); ``frames`` are the frames the reader yields.
    """

    width: int
    height: int
    rate: Fraction
    frames: int
    has_sound: bool
    codec: str

    @property
    def duration(self) -> float:
        """Seconds of picture: frames over rate."""
        return float(self.frames / self.rate)

    def to_json(self) -> dict[str, Any]:
        return {
            "width": self.width,
            "height": self.height,
            "rate": str(self.rate),
            "frames": self.frames,
            "has_sound": self.has_sound,
            "codec": self.codec,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "rate": Fraction(data["rate"])})


@dataclass(frozen=True, slots=True)
class Span:
    """A run of frames ``[start, stop)`` and its place in the order."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a video is worked on: fixed at submission, the same in every mode and on every worker.

    Versions are pinned, so that a retry on another worker makes the same picture or is refused.
    """

    engine: EngineId
    perception: str
    version: str
    #: Trackers are reset at the start of each piece and run ``warmup_frames`` ahead of it: as few
    #: as leave a seam no rougher than any two tries at a frame are.
    piece_frames: int = 120
    warmup_frames: int = 8
    #: The longest segment; shots are cut first, then divided evenly. No longer than an encoder goes
    #: without a key frame anyway at 30 frames a second, so that cutting costs the picture nothing.
    segment_frames: int = 60
    #: What makes up the parts of a plate that nobody ever saw: another filler makes another picture.
    fill: str = EMBEDDED_FILL

    def pieces(self, frames: int) -> tuple[Span, ...]:
        """Cut ``frames`` frames into pieces of ``piece_frames``; the last may be shorter."""
        return divide(0, frames, self.piece_frames)

    def segments(self, frames: int, cuts: tuple[int, ...]) -> tuple[Span, ...]:
        """Cut at each shot boundary in ``cuts`` (frame numbers), then by ``segment_frames``."""
        edges = [0, *sorted({cut for cut in cuts if 0 < cut < frames}), frames]
        spans: list[Span] = []
        for start, stop in itertools.pairwise(edges):
            for span in divide(start, stop, self.segment_frames):
                spans.append(Span(len(spans), span.start, span.stop))
        return tuple(spans)

    def to_json(self) -> dict[str, Any]:
        return {
            "engine": {"name": self.engine.name, "version": self.engine.version},
            "perception": self.perception,
            "version": self.version,
            "piece_frames": self.piece_frames,
            "warmup_frames": self.warmup_frames,
            "segment_frames": self.segment_frames,
            "fill": self.fill,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "engine": EngineId(**data["engine"])})


#: Spans beyond so many come in multiples of it.
_LOT = 16


def divide(start: int, stop: int, longest: int) -> tuple[Span, ...]:
    """Divide ``[start, stop)`` evenly into spans no longer than ``longest``: 1, 2, 4, 8, 16, 32, 48, ...

    Workers mostly come in such numbers, too: then they all have equally much to do, and none is left
    to work through a last span while the others wait for it.
    """
    total = stop - start
    fewest = -(-total // longest)
    lot = min(_LOT, 1 << max(0, fewest - 1).bit_length())
    count = min(total, -(-fewest // lot) * lot)
    edges = [start + total * i // count for i in range(count + 1)]
    return tuple(Span(i, a, b) for i, (a, b) in enumerate(itertools.pairwise(edges)))


def plan_for(model: Model, fill: str = EMBEDDED_FILL, engine: EngineId | None = None) -> Plan:
    """The plan of a new job: today's versions, pinned; without ``engine``, to the model's own."""
    return Plan(engine or ENGINES[model], perception=PERCEPTION_VERSION, version=PLAN_VERSION, fill=fill)
