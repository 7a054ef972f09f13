"""Judges what the pipeline makes of a made scene, number by number."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import probe, read_frames
from pipeline.perception.mattes import mattes, mattes_of
from pipeline.quality.film import NEAR, Film, distances, shoot
from pipeline.quality.joints import Agreement, agreement, jitter
from pipeline.quality.known import Known, know, tracks
from pipeline.quality.pixels import Error, changes, ghost, mixture, overlap, seam
from pipeline.quality.scenes import MadeScene
from pipeline.quality.sound import offset, samples_of
from pipeline.spec import Model, Span

#: Every how many frames plates are compared.
_PLATE_STRIDE = 4
#: An actor of whom less than this share of the usual is to be seen need not be found.
_HIDDEN = 0.6


def judge_made(
    scene: MadeScene, models: tuple[Model, ...], sheets: Path | None = None
) -> list[dict[str, Any]]:
    """A row for each of ``models``; also contact sheets in the folder ``sheets``."""
    with tempfile.TemporaryDirectory(prefix="quality-") as place:
        known = know(scene, Path(place))
        return [judge(known, model, Path(place) / model.value, sheets) for model in models]


def judge(known: Known, model: Model, folder: Path, sheets: Path | None = None) -> dict[str, Any]:
    """Render a scene in ``folder``, which is made, and judge it: one row."""
    folder.mkdir()
    film = shoot(known, model, folder)
    row = {
        "scene": known.scene.name,
        "model": model.value,
        **_joints(known, film),
        **_masks(known, film),
        **_plate(known, film),
        **_ids(known, film),
        **_whole(known, film),
    }
    if sheets is not None:
        from pipeline.quality.look import made_sheet

        made_sheet(known, film, row["worst_frame"], sheets / f"{known.scene.name}-{model.value}.png")
    return row


def _joints(known: Known, film: Film) -> dict[str, Any]:
    output = known.detect(film.output)
    actors = range(len(output))
    of: list[Agreement] = [
        agreement(output[a], known.found_ideal[a], known.truth[a], known.shown[a]) for a in actors
    ]
    worst = max(of, key=lambda agreed: agreed.akd or 0.0)
    row: dict[str, Any] = {
        "akd": _mean(agreed.akd for agreed in of),
        "akd_raw": _mean(agreed.raw for agreed in of),
        "akd_floor": _mean(agreed.floor for agreed in of),
        "mkr": _mean(agreed.mkr for agreed in of),
        "joints_counted": sum(agreed.counted for agreed in of) / max(1, sum(agreed.shown for agreed in of)),
        "akd_by_joint": worst.by_joint,
        "worst_frame": worst.worst_frame,
    }
    if tracks(known.scene):
        row["jitter"] = jitter(output[0], known.found_driver[0])
        row["jitter_ideal"] = jitter(known.found_ideal[0], known.found_driver[0])
    return row


def _masks(known: Known, film: Film) -> dict[str, Any]:
    """IoU of every actor's matte with the true one, at the matte's size."""
    people = [film.tracks.people[place] for place in film.people if place is not None]
    places = [actor for actor, place in enumerate(film.people) if place is not None]
    values: list[list[float]] = [[] for _ in film.people]
    size = film.tracks.matte_size
    for number, each in enumerate(mattes_of(film.request, _all(known), film.tracks, people)):
        own = dict(zip(places, each, strict=True))
        nothing = np.zeros(size[::-1], np.uint8)
        for actor in range(len(film.people)):
            truth = cv2.resize(known.masks[number, actor], size, interpolation=cv2.INTER_AREA) > 127
            if truth.any():
                values[actor].append(overlap(own.get(actor, nothing) > 127, truth))
    every = np.concatenate([np.array(each) for each in values])
    return {"iou": float(every.mean()), "iou_min": float(every.min())}


def _plate(known: Known, film: Film) -> dict[str, Any]:
    """PSNR of the plate where it could be seen, where somebody stood before it, where it never was; ghost."""
    seen, behind, unseen, driver = Error(), Error(), Error(), Error()
    shows, mixed, people, worst = 0, 0, 0, 0.0
    for number, frame, matte in _with_mattes(known, film):
        if number % _PLATE_STRIDE:
            continue
        truth, plate = known.background(number), film.plate.frame(number)
        free, crossed = known.seen(number), known.crossed(number)
        seen.add(plate, truth, free)
        behind.add(plate, truth, free & crossed)
        unseen.add(plate, truth, known.hidden(number))
        driver.add(frame, truth, ~crossed)
        mask = known.masks[number].max(axis=0) > 127
        cleaned = film.plate.clean(number, frame.copy(), matte)
        left = ghost(cleaned, frame, truth, mask)
        shows, people = shows + int(left.sum()), people + int(mask.sum())
        mixed += int((left & mixture(cleaned, frame, truth)).sum())
        worst = max(worst, float(left.sum() / max(1, mask.sum())))
    return {
        "plate_seen": seen.psnr,
        "plate_behind": behind.psnr,
        "plate_unseen": unseen.psnr,
        "video_psnr": driver.psnr,
        "unseen_share": float(((known.under > 0) & (known.clear == 0)).mean()),
        "ghost": shows / max(1, people),
        "ghost_max": worst,
        "ghost_mixed": mixed / max(1, people),
    }


def _ids(known: Known, film: Film) -> dict[str, Any]:
    """How many actors one id follows, and only them, whenever enough of them is to be seen."""
    people = film.tracks.people
    area = (known.masks > 127).sum(axis=(2, 3))
    plain = area > _HIDDEN * np.median(area, axis=0)
    apart = np.array([[distances(person, actor) for actor in known.driver] for person in people])
    kept = 0
    for actor, place in enumerate(film.people):
        if place is None:
            continue
        own = apart[place, actor][plain[:, actor]]
        # Nobody else's track may be nearer, nor this one be at somebody else.
        right = (own < NEAR) & (apart[:, actor][:, plain[:, actor]].argmin(axis=0) == place)
        kept += bool(right.mean() > 0.9)
    return {"ids": len(film.people), "ids_lost": len(film.people) - kept, "people_found": len(people)}


def _whole(known: Known, film: Film) -> dict[str, Any]:
    """Length, sound and seams of the finished video."""
    asked, made = probe(known.video), probe(film.output)
    size = (asked.width // 2, asked.height // 2)
    moved = [changes(read_frames(path, probe(path), size=size)) for path in (film.output, known.video)]
    return {
        "frames_off": made.frames - asked.frames,
        "duration_off": abs(made.duration - asked.duration),
        "sound_ms": offset(samples_of(film.output), samples_of(known.video)),
        "seam": seam(moved[0], moved[1], film.boundaries),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _all(known: Known) -> Span:
    return Span(0, 0, known.scene.play.frames)


def _with_mattes(known: Known, film: Film) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint8]]]:
    frames = read_frames(known.video, probe(known.video))
    for number, (frame, matte) in enumerate(
        zip(frames, mattes(film.request, _all(known), film.tracks), strict=True)
    ):
        yield number, frame, matte
