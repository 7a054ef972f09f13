"""What users' files say of themselves stays with them; what we say of ours is that it was generated."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from pipeline.choice import Fixed
from pipeline.ffmpeg import probe
from pipeline.render import stages_of
from pipeline.spec import Background, Model, RenderSpec, plan_for
from pipeline.stages import run
from tests.clips import make_clip, make_picture
from tests.pipeline.clips import ffmpeg

#: Whoever finds it in what we made has found what was in a user's file.
TRACE = "TRACE-OF-A-USER"
FIXED = Fixed(ms=0)
_GPS = 0x8825


def telling_video(folder: Path) -> Path:
    """A video that says where and when it was taken and by whom, with chapters, a timecode and a cover."""
    plain, cover = make_clip(folder / "plain.mp4", seconds=1), make_picture(folder / "cover.jpg", 64, 64)
    (chapters := folder / "chapters").write_text(
        f";FFMETADATA1\ntitle={TRACE}\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=900\ntitle={TRACE}\n"
    )
    words = ("title", "artist", "comment", "location", "com.apple.quicktime.location.ISO6709", "make")
    told = [part for word in words for part in ("-metadata", f"{word}={TRACE}")]
    told += ["-metadata", "creation_time=2021-03-04T05:06:07Z", "-timecode", "01:02:03:04"]
    told += ["-metadata:s:v:0", f"handler_name={TRACE}", "-metadata:s:a:0", f"handler_name={TRACE}"]
    told += ["-metadata:s:a:0", "language=nld"]
    streams = ["-map", "0:v", "-map", "0:a", "-map", "1:v", "-map_chapters", "2", "-c", "copy"]
    path = folder / "telling.mp4"
    inputs = ["-i", plain, "-i", cover, "-i", chapters]
    ffmpeg(
        *inputs, *streams, "-disposition:v:1", "attached_pic", *told, "-movflags", "use_metadata_tags", path
    )
    return path


def telling_picture(path: Path) -> Path:
    """A picture with the place, a comment, XMP and a profile; the format is of the path's kind."""
    made = Image.open(make_picture(path.with_suffix(".plain.png")))
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = TRACE, TRACE  # description, artist
    exif.get_ifd(_GPS).update({1: "N", 2: (52.0, 22.0, 12.0), 3: "E", 4: (4.0, 53.0, 42.0), 29: TRACE})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + TRACE.encode()
    more: dict[str, Any] = {"exif": exif, "icc_profile": profile}
    if path.suffix == ".png":
        text = PngInfo()
        text.add_text("Comment", TRACE)
        more["pnginfo"] = text
    else:
        more |= {"xmp": TRACE.encode()} | ({"comment": TRACE} if path.suffix == ".jpg" else {})
    made.convert("RGB").save(path, **more)
    return path


def described(path: Path) -> dict[str, Any]:
    """Everything that ffprobe says of a file."""
    wanted = ["-show_format", "-show_streams", "-show_chapters", "-show_programs", "-of", "json"]
    text = subprocess.run(
        ["ffprobe", "-v", "error", *wanted, str(path)], capture_output=True, check=True
    ).stdout
    found: dict[str, Any] = json.loads(text)
    return found


def rendered(picture: Path, video: Path, folder: Path) -> dict[str, Path]:
    """All that a render makes, by the engine that draws the picture and the video as they are."""
    folder.mkdir()
    spec = RenderSpec(background=Background.TRANSPARENT)
    plan = replace(plan_for(Model.V4, engine=FIXED.id), piece_frames=12, segment_frames=7)
    files: dict[str, Path] = {}
    for _, made, _ in stages_of([picture], video, spec, folder, run=partial(run, fixed=FIXED), plan=plan):
        files |= made
    return files


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_no_trace_of_the_users_files_is_in_anything_that_was_made(kind: str, tmp_path: Path) -> None:
    picture, video = telling_picture(tmp_path / f"a.{kind}"), telling_video(tmp_path)
    assert TRACE.encode() in picture.read_bytes()
    assert video.read_bytes().count(TRACE.encode()) >= 5
    made = rendered(picture, video, tmp_path / "made")
    assert {"character", "output", "mask", "thumbnail"} <= set(made)
    for name, path in made.items():
        data = path.read_bytes()
        assert TRACE.encode() not in data, name
        assert b"Exif" not in data, name


def test_an_output_has_a_picture_and_its_sound_and_nothing_of_the_users_besides(tmp_path: Path) -> None:
    video = telling_video(tmp_path)
    before = described(video)
    assert before["chapters"] and before["format"]["tags"]["location"] == TRACE
    assert len(before["streams"]) > 3
    made = rendered(make_picture(tmp_path / "a.png"), video, tmp_path / "made")
    for name, kinds in (("output", ["video", "audio"]), ("mask", ["video"])):
        found = described(made[name])
        assert [stream["codec_type"] for stream in found["streams"]] == kinds
        assert found["chapters"] == []
        ours = {"major_brand", "minor_version", "compatible_brands", "comment"}
        assert set(found["format"]["tags"]) == ours
        for stream in found["streams"]:
            tags = stream["tags"]
            assert set(tags) <= {"language", "handler_name", "vendor_id"}
            assert tags["language"] == "und"


def test_outputs_say_that_they_were_generated(tmp_path: Path) -> None:
    clip, picture = make_clip(tmp_path / "clip.mp4"), make_picture(tmp_path / "a.png")
    first, second = (rendered(picture, clip, tmp_path / name) for name in ("first", "second"))
    for name in ("output", "mask"):
        assert described(first[name])["format"]["tags"]["comment"] == "AI-generated"
        data = first[name].read_bytes()
        assert b"digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in data
        assert data == second[name].read_bytes()
        assert probe(first[name]).frames == probe(clip).frames
