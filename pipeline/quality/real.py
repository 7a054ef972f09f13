"""Judges a render of a real clip, whose truth nobody knows, by the directions of its driver's limbs.

The driver's detected joints are laid on the character's own bones, as a puppeteer would: from the neck
outwards every bone keeps its direction in the picture and its share of its full length; paired limbs
share their lengths. That is compared with the joints that the same detector finds in the output, after
the necks are laid on each other in every frame and the sizes once for the clip: so it judges the pose,
and neither size nor place, which are a matter of taste where bodies differ. A picture has only a front:
who is read as seen from behind is performed by a character seen from before, so sides are compared as
the picture shows them, whichever of them is called the left.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.ffmpeg import VideoWriter, probe, read_frames
from pipeline.perception.still import find_person
from pipeline.perception.tracks import Joint
from pipeline.quality.detect import detected
from pipeline.quality.faces import mouth_follows
from pipeline.quality.joints import TWELVE, Floats, Marks, found, jitter, torso_of
from pipeline.render import stages_of
from pipeline.spec import Model, RenderSpec, Span

#: What is judged: (a driving video, a character's picture).
PAIRS = (("host-desk.mp4", "elf.jpg"), ("sweater-dance.mp4", "red-jacket.png"))
#: The harder ones.
MORE_PAIRS = (
    ("host-desk.mp4", "red-jacket.png"),
    ("host-desk.mp4", "anime.png"),
    ("sweater-dance.mp4", "elf.jpg"),
    ("sweater-dance.mp4", "crossed-arms.jpg"),
    ("sweater-dance.mp4", "anime.png"),
)
#: Clips are made this wide, and the short sample is this long.
_WIDTH, _SECONDS = 960, 2.0

#: Places in ``_with_middles``: the twelve, then neck and pelvis.
_NECK, _PELVIS = len(TWELVE), len(TWELVE) + 1
_AT = {joint: place for place, joint in enumerate(TWELVE)}
_LEFT, _RIGHT = ([_AT[j] for j in TWELVE if j.name.startswith(side)] for side in ("LEFT", "RIGHT"))
_SHOULDER, _ELBOW, _WRIST, _HIP, _KNEE, _ANKLE = range(6)
_TRUNK = (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.LEFT_HIP, Joint.RIGHT_HIP)
_SHOULDERS = [_LEFT[_SHOULDER], _RIGHT[_SHOULDER]]
#: Bones of each side from the neck outwards: (from, to), by their place in ``_LEFT`` and ``_RIGHT``.
_LIMBS = ((_SHOULDER, _ELBOW), (_ELBOW, _WRIST), (_HIP, _KNEE), (_KNEE, _ANKLE))
#: A bone's full length is the percentile of what is seen of it.
_FULL = 90


def judge_real(
    video: Path, picture: Path, model: Model, *, full: bool = False, sheets: Path | None = None
) -> dict[str, Any]:
    """One row: a clip of ``video``, performed by the character of ``picture``."""
    name = f"{video.stem} by {picture.stem}"
    with tempfile.TemporaryDirectory(prefix="quality-") as place:
        clip = _clip(video, Path(place) / "clip.mp4", full=full)
        files: dict[str, Path] = {}
        for _, made, _ in stages_of([picture], clip, RenderSpec(model), Path(place)):
            files |= made
        videos = clip, files["output"]
        driver, output = (_joints(path) for path in videos)
        driver = turned_like(driver, output)
        own = _own(picture)
        row = compared(output, driver, own) | {"mouth": mouth_follows(*videos)}
        if sheets is not None:
            from pipeline.quality.look import real_sheet

            wanted = row["size"] * worn(driver, own) + _necks(output)
            path = sheets / f"{name}-{model.value}.png"
            real_sheet(videos, (driver, output), wanted, row["worst_frame"], path)
    return {"scene": name, "model": model.value, **row}


def turned_like(driver: Floats, output: Floats) -> Floats:
    """``driver`` (T, 12, 3) with left and right changed over where ``output`` shows the other side."""
    across = [each[:, _LEFT[_SHOULDER], 0] - each[:, _RIGHT[_SHOULDER], 0] for each in (driver, output)]
    other = across[0] * across[1] < 0
    changed = driver.copy()
    for left, right in zip(_LEFT, _RIGHT, strict=True):
        changed[other, left], changed[other, right] = driver[other, right], driver[other, left]
    return changed


def compared(output: Floats, driver: Floats, own: Floats) -> dict[str, Any]:
    """AKD, MKR and jitter of ``output`` against ``driver`` (T, 12, 3), for a character of joints ``own``.

    ``own`` (12, 3) is the character in its picture. Joints count that are seen in both, and in the
    picture; ``size`` is how many pixels of the video one of the picture has.
    """
    wanted = worn(driver, own)
    rooted = found(output)[:, _SHOULDERS].all(axis=1) & found(driver)[:, _SHOULDERS].all(axis=1)
    expected = found(driver) & found(own) & rooted[:, None]
    both = expected & found(output)
    relative = output[..., :2] - _necks(output)
    size = _size(relative, wanted, both)
    torso = size * torso_of(own[None])
    apart = np.linalg.norm(relative - size * wanted, axis=-1) / torso
    return {
        "akd": float(apart[both].mean()) if both.any() else None,
        "mkr": 1 - float(both.sum() / max(1, expected.sum())),
        "akd_by_joint": {
            joint.name.lower(): float(apart[both[:, i], i].mean())
            for i, joint in enumerate(TWELVE)
            if both[:, i].any()
        },
        "jitter": jitter(output, driver),
        "size": size,
        "worst_frame": int(np.argmax(np.where(both, apart, 0).sum(axis=1))),
    }


def _size(relative: Floats, wanted: Floats, both: Marks) -> float:
    """The output's trunk over the wanted one: limbs that hang wrong must not make it smaller."""
    trunk = both.copy()
    trunk[:, [i for i in range(len(TWELVE)) if TWELVE[i] not in _TRUNK]] = False
    own, other = (float(np.linalg.norm(each[trunk], axis=-1).sum()) for each in (relative, wanted))
    return max(own, 1e-6) / max(other, 1e-6)


def worn(driver: Floats, own: Floats) -> Floats:
    """The driver's pose (T, 12, 3) on the bones of ``own`` (12, 3), from the neck: (T, 12, 2)."""
    there, here = _with_middles(driver), _with_middles(own[None])[0]
    sure, own_sure = found(driver), found(own)
    placed = np.zeros_like(there)
    trunk = there[:, _PELVIS] - there[:, _NECK]
    hips_seen = sure[:, [_LEFT[_HIP], _RIGHT[_HIP]]].all(axis=1)
    full = _full(np.linalg.norm(trunk, axis=-1), hips_seen)
    placed[:, _PELVIS] = trunk * float(np.linalg.norm(here[_PELVIS] - here[_NECK])) / full
    for pair, middle in ((_SHOULDER, _NECK), (_HIP, _PELVIS)):
        ends = [_LEFT[pair], _RIGHT[pair]]
        width = np.linalg.norm(there[:, ends[0]] - there[:, ends[1]], axis=-1)
        ratio = np.linalg.norm(here[ends[0]] - here[ends[1]]) / _full(width, sure[:, ends].all(axis=1))
        placed[:, ends] = placed[:, [middle]] + (there[:, ends] - there[:, [middle]]) * ratio
    for start, stop in _LIMBS:
        bones = [(side[start], side[stop]) for side in (_LEFT, _RIGHT)]
        lengths = np.stack([np.linalg.norm(there[:, b] - there[:, a], axis=-1) for a, b in bones])
        full = _full(lengths, np.stack([sure[:, [a, b]].all(axis=1) for a, b in bones]))
        own_lengths = [float(np.linalg.norm(here[b] - here[a])) for a, b in bones]
        known = [length for length, (a, b) in zip(own_lengths, bones, strict=True) if own_sure[[a, b]].all()]
        for a, b in bones:
            placed[:, b] = placed[:, a] + (there[:, b] - there[:, a]) * max(known or own_lengths) / full
    return np.asarray(placed[:, : len(TWELVE)], np.float64)


def _full(lengths: Floats, sure: Marks) -> float:
    """A bone's whole length, from what is seen of it."""
    seen = lengths[sure] if sure.any() else lengths[np.isfinite(lengths)]
    return max(1e-6, float(np.percentile(seen, _FULL))) if seen.size else 1.0


def _with_middles(joints: Floats) -> Floats:
    """(T, 12, 2 or more) to (T, 14, 2): neck and pelvis besides."""
    at = joints[..., :2]
    middles = [at[:, [_LEFT[pair], _RIGHT[pair]]].mean(axis=1, keepdims=True) for pair in (_SHOULDER, _HIP)]
    return np.concatenate([at, *middles], axis=1)


def _necks(joints: Floats) -> Floats:
    """(T, 1, 2): the middles of the shoulders."""
    return np.asarray(joints[:, _SHOULDERS, :2].mean(axis=1, keepdims=True), np.float64)


def _own(picture: Path) -> Floats:
    """The character's joints in its picture, (12, 3); those beyond its edge are not seen."""
    rgb = np.asarray(Image.open(picture).convert("RGB"))
    person = find_person(rgb)
    assert person is not None  # else no character would have been made of it
    own: Floats = person.joints[TWELVE][:, [0, 1, 3]].astype(np.float64)
    own[((own[:, :2] < 0) | (own[:, :2] >= rgb.shape[1::-1])).any(axis=1), 2] = 0
    return own


def _joints(video: Path) -> Floats:
    info = probe(video)
    whole = [[(0, 0, info.width, info.height)] * info.frames]
    return np.asarray(detected(read_frames(video, info), whole, tracking=True)[0], np.float64)


def _clip(video: Path, path: Path, *, full: bool) -> Path:
    """The beginning of ``video``, smaller."""
    info = probe(video)
    size = _WIDTH, round(info.height * _WIDTH / info.width) // 2 * 2
    stop = info.frames if full else min(info.frames, round(_SECONDS * info.rate))
    with VideoWriter(path, *size, info.rate, crf=16) as writer:
        for frame in read_frames(video, info, Span(0, 0, stop), size=size):
            writer.write(frame)
    return path
