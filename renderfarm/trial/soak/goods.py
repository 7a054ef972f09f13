"""What customers of a soak send: small files, good ones and bad ones, and addresses of the good ones."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from renderfarm.trial.clip import make_clip, make_picture
from renderfarm.trial.ground import ROOT


@dataclass(frozen=True, slots=True)
class Goods:
    """Files, by what there is to them."""

    picture: Path
    clip: Path
    #: A character, and a second of a person who moves.
    character: Path
    dance: Path
    #: What the ingress refuses: half a video, and a text for a picture.
    half: Path
    text: Path
    #: Where the picture and the clip can be fetched.
    picture_url: str = ""
    clip_url: str = ""

    @classmethod
    def make(cls, folder: Path, port: int) -> Goods:
        """Make them in ``folder``; a host on ``port`` will have two of them."""
        folder.mkdir()
        clip = make_clip(folder / "clip.mp4", frames=45)
        whole = clip.read_bytes()
        (half := folder / "half.mp4").write_bytes(whole[: len(whole) * 6 // 10])
        (text := folder / "text.png").write_text("no picture\n")
        return cls(
            picture=make_picture(folder / "picture.png"),
            clip=clip,
            character=ROOT / "samples" / "character.png",
            dance=_small_second(ROOT / "samples" / "driver.mp4", folder / "dance.mp4"),
            half=half,
            text=text,
            picture_url=f"http://127.0.0.1:{port}/picture",
            clip_url=f"http://127.0.0.1:{port}/clip",
        )

    @property
    def shown(self) -> dict[str, Path]:
        """The host's files, by their paths."""
        return {"/picture": self.picture, "/clip": self.clip}


def _small_second(video: Path, target: Path) -> Path:
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    size = ["-t", "1", "-vf", "scale=320:180,fps=15"]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(video), *size, *codec, str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return target
