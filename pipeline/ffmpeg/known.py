"""What a probe found out, as text that goes with the video: whoever gets it need not look again."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg.picture import Picture
from pipeline.ffmpeg.probe import Sound, Source
from pipeline.ffmpeg.timeline import Timeline
from pipeline.spec import VideoInfo


def dumps(source: Source) -> str:
    """``source`` in some hundred characters: frames mostly follow each other in equal steps."""
    timeline = source.timeline
    return json.dumps(
        {
            "info": source.info.to_json(),
            "stream": source.stream,
            "times": _packed(timeline.times),
            "keys": _packed(timeline.keys),
            "last": timeline.last,
            "tick": str(timeline.tick),
            "exact": timeline.exact,
            "picture": asdict(source.picture),
            "constant": source.constant,
            "seekable": source.seekable,
            "start": source.start,
            "sound": asdict(source.sound) if source.sound else None,
        }
    )


def loads(text: str) -> Source:
    """What ``dumps`` wrote; raises ``ValueError`` for what another version wrote otherwise."""
    try:
        data = json.loads(text)
        picture = data["picture"]
        turn = tuple(tuple(step) for step in picture["turn"])
        return Source(
            info=VideoInfo.from_json(data["info"]),
            stream=data["stream"],
            timeline=Timeline(
                times=_unpacked(data["times"]),
                keys=_unpacked(data["keys"]),
                last=data["last"],
                tick=Fraction(data["tick"]),
                exact=data["exact"],
            ),
            picture=Picture(**{**picture, "display": tuple(picture["display"]), "turn": turn}),
            constant=data["constant"],
            seekable=data["seekable"],
            start=data["start"],
            sound=Sound(**data["sound"]) if data["sound"] else None,
        )
    except (KeyError, TypeError, AttributeError, zlib.error) as error:
        raise ValueError(f"this is no source: {error}") from error


def _packed(times: NDArray[np.int64]) -> str:
    steps = np.diff(times, prepend=np.int64(0)).astype("<i8")
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()


def _unpacked(text: str) -> NDArray[np.int64]:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8")
    return np.cumsum(steps, dtype=np.int64)
