"""What a render takes of stored characters and scenes, instead of making it anew.

A scene and a character are caches of what they were made from: the render has their stored inputs, too,
and where their versions are not today's, or no worker has them any more, it makes all of it itself.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pipeline.choice import FIXED
from pipeline.spec import RENDER, Model, Plan, RenderSpec, Stage, VideoInfo
from pipeline.units import numbered
from renderfarm import assets
from renderfarm.db import Database
from renderfarm.errors import FarmError
from renderfarm.jobs import SOURCE
from renderfarm.models import JobKind, JobStatus
from renderfarm.units import FAST

#: What each kind spares a render, and the artifacts that stand for it; ``-``: all that begin so.
_SPARES = {
    JobKind.SCENE: (Stage.ANALYSE, Stage.JOIN, Stage.SAMPLE, Stage.PLATE),
    JobKind.CHARACTER: (Stage.REFERENCE,),
}
_SCENE_FILES = ("tracks", "plate", "matte-")
_CHARACTER_FILE = "character"
#: Facts of a scene that its renders need.
_FACTS = ("cuts", "people", SOURCE)


_FIND = """
    SELECT a.id AS asset_id, a.kind, j.id AS job_id, j.status, j.error_message, j.spec, j.plan, j.video,
        j.inputs, j.facts, j.notes
    FROM assets a JOIN jobs j ON j.id = a.job_id
    WHERE a.id = ANY(%s) AND a.account_id = %s AND a.deleted_at IS NULL AND a.published_at IS NULL
    """


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored asset, and what is known of the job that has prepared it."""

    asset_id: str
    kind: str
    job_id: str
    status: str
    error_message: str | None
    spec: RenderSpec
    plan: Plan
    video: VideoInfo | None
    #: Storage keys.
    inputs: Mapping[str, str]
    facts: Mapping[str, Any]
    notes: Mapping[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """What a row of ``_FIND`` says."""
        video = VideoInfo.from_json(row["video"]) if row["video"] else None
        spec, plan = RenderSpec.from_json(row["spec"]), Plan.from_json(row["plan"])
        return cls(**{**row, "spec": spec, "plan": plan, "video": video})


@dataclass(frozen=True, slots=True)
class Loan:
    """The stored assets of one render. Characters by their numbers."""

    scene: Stored | None = None
    characters: tuple[Stored, ...] = ()
    #: Who plays whom, as ``RenderSpec.cast`` has it.
    cast: tuple[tuple[str, int], ...] = ()

    @property
    def assets(self) -> tuple[str, ...]:
        """The ids of all of them."""
        return tuple(each.asset_id for each in self._all())

    @property
    def video(self) -> VideoInfo | None:
        """The scene's video."""
        return self.scene.video if self.scene else None

    @property
    def notes(self) -> dict[str, object]:
        """What is worth knowing of the scene's video."""
        return dict(self.scene.notes) if self.scene else {}

    def inputs(self) -> dict[str, str]:
        """Storage keys of what they were made from, by the names that a render's inputs have."""
        found = {"video": self.scene.inputs["video"]} if self.scene else {}
        for number, each in enumerate(self.characters):
            found[numbered("picture", number)] = each.inputs["picture"]
        return found

    def stages(self, plan: Plan) -> tuple[Stage, ...]:
        """What is left to do for a render of this plan."""
        spared: set[Stage] = set()
        if self.scene and self._scene_fits(plan):
            spared.update(_SPARES[JobKind.SCENE])
        if self.characters and self._characters_fit(plan):
            spared.update(_SPARES[JobKind.CHARACTER])
        return tuple(stage for stage in RENDER if stage not in spared)

    def facts(self, plan: Plan) -> dict[str, object]:
        """What was found out of the scene's video."""
        if self.scene is None:
            return {}
        names = _FACTS if self._scene_fits(plan) else (SOURCE,)
        return {name: fact for name, fact in self.scene.facts.items() if name in names}

    def files(self, plan: Plan) -> dict[str, tuple[str, str]]:
        """The artifacts a render of this plan finds there: its own name of each, the job's and its name."""
        found: dict[str, tuple[str, str]] = {}
        if self.scene and self._scene_fits(plan):
            found |= {name: (self.scene.job_id, name) for name in _SCENE_FILES}
        if self._characters_fit(plan):
            for number, each in enumerate(self.characters):
                found[numbered(_CHARACTER_FILE, number)] = (each.job_id, _CHARACTER_FILE)
        return found

    def _scene_fits(self, plan: Plan) -> bool:
        return self.scene is not None and self.scene.plan == plan

    def _characters_fit(self, plan: Plan) -> bool:
        """A character knows no model: only how it was perceived, and whether it is a real one."""

        def kind(of: Plan) -> tuple[str, str, bool]:
            return of.perception, of.version, of.engine.name == FIXED

        return all(kind(each.plan) == kind(plan) for each in self.characters)

    def _all(self) -> tuple[Stored, ...]:
        return (*((self.scene,) if self.scene else ()), *self.characters)


class Known:
    """Ready assets that a process has met, since what is ready stays as it is for as long as it is there.

    Whether it is, ``jobs.submit`` asks anew; who is told that it is not calls ``forget``.
    """

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._ready: OrderedDict[tuple[str, str], Stored] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, account_id: str, asset_ids: Sequence[str]) -> dict[str, Stored]:
        """Those of the account's assets that are known."""
        with self._lock:
            found = {each: self._ready.get((account_id, each)) for each in asset_ids}
            return {each: stored for each, stored in found.items() if stored is not None}

    def add(self, account_id: str, assets: Iterable[Stored]) -> None:
        """Remember those that are ready; what was met longest ago goes."""
        with self._lock:
            for each in assets:
                if each.status == JobStatus.COMPLETE:
                    self._ready[account_id, each.asset_id] = each
            while len(self._ready) > self._most:
                self._ready.popitem(last=False)

    def forget(self, account_id: str, asset_ids: Iterable[str]) -> None:
        """They may be gone."""
        with self._lock:
            for each in asset_ids:
                self._ready.pop((account_id, each), None)


def find(
    database: Database,
    account_id: str,
    *,
    scene_id: str | None,
    character_id: str | None,
    mapping: Mapping[str, str] | None = None,
    known: Known | None = None,
) -> Loan:
    """The account's assets of these ids, all of them ready; what is not ``known`` is read by one statement.

    ``mapping`` says which person of the scene becomes which character. Raises CS-ORIV-008 and -009 for
    what is not there, -010 for what is not ready, -012 for a mapping that is none.
    """
    ids = list(dict.fromkeys(mapping.values() if mapping else [character_id] if character_id else []))
    wanted = [each for each in (scene_id, *ids) if each and each.isascii() and each.isprintable()]
    there = known.of(account_id, wanted) if known else {}
    if missing := [each for each in wanted if each not in there]:
        rows = database.read(_FIND, [missing, account_id])
        there |= {row["asset_id"]: Stored.of(row) for row in rows}
        if known:
            known.add(account_id, there.values())
    scene = _ready(there, JobKind.SCENE, scene_id) if scene_id else None
    if not mapping:
        return Loan(scene, tuple(_ready(there, JobKind.CHARACTER, each) for each in ids))
    if scene is None:
        raise FarmError("CS-ORIV-012", "`character_mapping` names people of a scene: it needs `scene_id`.")
    if unknown := sorted(mapping.keys() - set(scene.facts.get("people", ()))):
        raise FarmError("CS-ORIV-012", f"There is no {unknown[0][:60]!r} in the scene.")
    try:
        characters = tuple(_ready(there, JobKind.CHARACTER, each) for each in ids)
    except FarmError as error:
        if error.code == "CS-ORIV-008":
            message = "`character_mapping` names a character that was not found."
            raise FarmError("CS-ORIV-012", message) from error
        raise
    cast = tuple((person, ids.index(character)) for person, character in mapping.items())
    return Loan(scene, characters, cast)


def model_of(loan: Loan, asked: Model | None) -> Model | None:
    """The scene's model, without a scene the one that was asked for; CS-ORIV-013 where they differ."""
    if loan.scene is None:
        return asked
    own = loan.scene.spec.model
    if asked not in (None, own):
        raise FarmError("CS-ORIV-013", f"The scene was prepared for {own}, not for {asked}.")
    return own


def mode_of(stages: Sequence[Stage], *, fast: bool) -> str:
    """What a render is called that has these stages to pass."""
    return FAST if fast else "full_pipeline" if tuple(stages) == RENDER else "preprocessed"


def spec_of(loan: Loan, asked: RenderSpec) -> RenderSpec:
    """What was asked for, with the loan's cast."""
    return RenderSpec(asked.model, asked.background, asked.bg_color, loan.cast)


def _ready(there: Mapping[str, Stored], kind: JobKind, asset_id: str) -> Stored:
    found = there.get(asset_id)
    if found is None or found.kind != kind:
        raise FarmError(assets.MISSING[kind])
    if found.status in {JobStatus.FAILED, JobStatus.CANCELLED}:
        raise FarmError("CS-ORIV-010", f"The {kind.value} could not be prepared: {found.error_message}")
    if found.status != JobStatus.COMPLETE:
        raise FarmError("CS-ORIV-010")
    return found
