"""Renders a made scene as the farm would, with pieces and segments that are short enough to have seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.ffmpeg import probe
from pipeline.perception.tracks import Person, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Request
from pipeline.quality.joints import TWELVE, Floats, torso_of
from pipeline.quality.known import Known
from pipeline.render import stages_of
from pipeline.spec import Model, RenderSpec, Stage, plan_for

#: Joints that are nearer to an actor's than this, in torsos, are that actor's.
NEAR = 0.6


@dataclass(frozen=True, slots=True)
class Film:
    """What the pipeline made of a scene."""

    output: Path
    tracks: Tracks
    plate: Plate
    #: The place in ``tracks.people`` of each actor; None for one who was not found.
    people: tuple[int | None, ...]
    #: A request of the segment stage: what reads mattes wants one.
    request: Request
    #: The first frames of pieces and segments, but the very first.
    boundaries: tuple[int, ...]


def shoot(known: Known, model: Model, folder: Path) -> Film:
    """Render ``known`` into the empty ``folder``."""
    frames = known.scene.play.frames
    plan = replace(plan_for(model), piece_frames=-(-frames // 2), segment_frames=-(-frames // 3))
    spec = RenderSpec(model)
    files: dict[str, Path] = {}
    facts: dict[str, Any] = {}
    for _, made, told in stages_of((), known.video, spec, folder, plan=plan):
        files |= made
        facts |= told
    tracks = Tracks.load(files["tracks"])
    people = matched(tracks.people, known.driver)
    # Characters are numbered as the tracks' people are: the lead, who is always played, has the first.
    actors = sorted((place, actor) for actor, place in enumerate(people) if place is not None)
    cast = tuple((tracks.people[place].id, number) for number, (place, _) in enumerate(actors))
    pictures = [known.pictures[actor] for _, actor in actors] or known.pictures[:1]
    spec = replace(spec, cast=cast if len(tracks.people) > 1 else ())
    drawing = (Stage.REFERENCE, Stage.SEGMENT, Stage.STITCH)
    for _, made, _ in stages_of(
        pictures, known.video, spec, folder, plan=plan, stages=drawing, known=files, facts=facts
    ):
        files |= made
    request = Request(Stage.SEGMENT, spec, plan, folder, files, probe(known.video))
    spans = (*plan.pieces(frames), *plan.segments(frames, tracks.cuts))
    boundaries = tuple(sorted({span.start for span in spans} - {0}))
    return Film(files["output"], tracks, Plate.load(files["plate"]), people, request, boundaries)


def matched(people: Sequence[Person], driver: Floats) -> tuple[int | None, ...]:
    """Which of ``people`` each actor is, by where their joints are; ``driver`` is (A, T, 12, 2)."""
    apart = np.array([[np.median(distances(person, actor)) for person in people] for actor in driver])
    found: list[int | None] = [None] * len(driver)
    for actor, place in zip(*linear_sum_assignment(np.minimum(apart, 1e6)), strict=True):
        if apart[actor, place] < NEAR:
            found[actor] = int(place)
    return tuple(found)


def distances(person: Person, actor: Floats) -> Floats:
    """How far a person's joints are from an actor's (T, 12, 2), in torsos: means, (T,); inf where absent."""
    apart = np.linalg.norm(person.joints[:, TWELVE, :2] - actor, axis=-1).mean(axis=-1) / torso_of(actor)
    return np.where(person.present, np.nan_to_num(apart, nan=np.inf), np.inf)
