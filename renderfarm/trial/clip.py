"""Small real files to render: a test pattern with a tone, and a picture."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_clip(path: Path, *, frames: int = 60, size: str = "320x180", rate: int = 30) -> Path:
    """A test pattern of so many frames, with a tone."""
    picture = f"testsrc=size={size}:rate={rate}:duration={frames / rate}"
    sound = f"sine=frequency=440:duration={frames / rate}"
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    return _make(["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *codec], path)


def make_picture(path: Path, size: str = "200x300") -> Path:
    """A picture with something in it."""
    return _make(["-f", "lavfi", "-i", f"testsrc2=size={size}", "-frames:v", "1"], path)


def _make(options: list[str], path: Path) -> Path:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *options, str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path
