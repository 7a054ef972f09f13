"""Small good clips and pictures of every kind that is taken, to be spoilt."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
#: A name of each kind, and how it is encoded.
_CLIPS = {
    "plain.mp4": (*_H264, "-c:a", "aac", "-movflags", "+faststart"),
    "late.mp4": (*_H264, "-bf", "2", "-c:a", "aac"),
    "pieces.mp4": (*_H264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
    "fields.mp4": (*_H264, "-flags", "+ilme+ildct", "-c:a", "aac"),
    "old.mp4": ("-c:v", "mpeg4", "-c:a", "mp3"),
    "camera.mov": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le", "-timecode", "01:00:00:00"),
    "editor.mov": ("-c:v", "prores", "-c:a", "pcm_s24le"),
    "browser.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
    "new.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libvorbis"),
    "jpegs.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-an"),
    "divx.avi": ("-c:v", "mpeg4", "-vtag", "DIVX", "-c:a", "mp3"),
}
_PICTURES = {
    "a.png": ("-pix_fmt", "rgb24"),
    "alpha.png": ("-pix_fmt", "rgba"),
    "deep.png": ("-pix_fmt", "rgb48be"),
    "a.jpg": ("-pix_fmt", "yuvj420p"),
    "a.webp": ("-c:v", "libwebp"),
    "lossless.webp": ("-c:v", "libwebp", "-lossless", "1"),
}


@dataclass(frozen=True, slots=True)
class Seeds:
    """The good files, by name."""

    clips: dict[str, bytes]
    pictures: dict[str, bytes]


def make(folder: Path) -> Seeds:
    """Make them in ``folder``, with ffmpeg as it is."""
    clip = partial(_made, folder, ("testsrc2=size=96x64:rate=15:duration=0.8", "sine=duration=0.8"))
    picture = partial(_made, folder, ("testsrc2=size=96x128:rate=1:duration=1",))
    return Seeds(
        {name: clip(name, options) for name, options in _CLIPS.items()},
        {name: picture(name, ("-frames:v", "1", *options)) for name, options in _PICTURES.items()},
    )


def _made(folder: Path, sources: tuple[str, ...], name: str, options: tuple[str, ...]) -> bytes:
    inputs = [part for source in sources for part in ("-f", "lavfi", "-i", source)]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, *options, str(folder / name)]
    subprocess.run(command, check=True, capture_output=True)
    return (folder / name).read_bytes()
