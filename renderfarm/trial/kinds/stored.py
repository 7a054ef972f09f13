"""What can happen while a character and a scene are prepared, and while renders draw on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pipeline.spec import Model, Plan, RenderSpec, Stage, plan_for
from renderfarm import assets, jobs, lending, prices
from renderfarm.db import new_id
from renderfarm.models import Asset, JobKind
from renderfarm.trial.case import CANCELLED, Case, Fault
from renderfarm.trial.farm import SHORT

_FILES = {"video": "clip", "picture": "picture"}
_WORKERS = {"workers": {"v4": 2, "cpu": 1}}


def faults() -> Iterator[Fault]:
    """Workers that die at it, and assets that are deleted under the renders that use them."""
    for stage in (Stage.ANALYSE, Stage.PLATE, Stage.PORTRAIT):
        yield Fault(
            name=f"a worker dies in {stage} of a scene", act=_dying(stage), farm={"workers": {"cpu": 1}}
        )
    yield Fault(name="a worker dies in a render of stored assets", act=_in_a_render, farm=_WORKERS)
    yield Fault(name="a scene is deleted under its render", act=_deleted, farm=_WORKERS)
    yield Fault(name="a scene is deleted while it is prepared", act=_given_up, farm=_WORKERS, ends=CANCELLED)


def _dying(stage: Stage) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        token = case.token()
        for _ in range(2):
            case.farm.add_worker("v4", FARM_CRASH_AT=f"stored/{stage}+parent@{token}")
        case.farm.wait_ready()
        made = _prepared(case)
        case.struck(token)
        _render(case, made)

    return act


def _in_a_render(case: Case) -> None:
    made = _prepared(case)
    job_id = _render(case, made)
    case.farm.wait_drawing(job_id).restart()


def _deleted(case: Case) -> None:
    made = _prepared(case)
    job_id = _render(case, made)
    case.farm.wait_drawing(job_id)
    for asset_id in made.values():
        _delete(case, asset_id)


def _given_up(case: Case) -> None:
    scene = _prepare(case, JobKind.SCENE, "video")
    case.farm.wait_drawing(case.jobs[-1], "analyse:0")
    _delete(case, scene)


def _prepared(case: Case) -> dict[str, str]:
    """A ready scene and a ready character, by the words that ``lending.find`` has for them."""
    made = {
        "scene_id": _prepare(case, JobKind.SCENE, "video"),
        "character_id": _prepare(case, JobKind.CHARACTER, "picture"),
    }
    case.farm.wait_ended(case.jobs, 120)
    return made


def _prepare(case: Case, kind: JobKind, role: str) -> str:
    farm = case.farm
    key, path = f"in/{farm.account_id}/{new_id('file')}", getattr(farm.ground, _FILES[role])
    farm.store.put(key, path)
    new = jobs.NewJob(
        spec=RenderSpec(),
        plan=_plan(case),
        video=farm.judged(farm.ground.clip).video if kind is JobKind.SCENE else None,
        source=farm.judged(farm.ground.clip).source if kind is JobKind.SCENE else "",
        inputs={role: key},
        mode="full_pipeline",
        credits=0,
    )
    with farm.database.begin() as session:
        asset = assets.prepare(session, farm.settings, farm.account_id, kind, kind.value, new)
        case.jobs.append(asset.job_id)
        return asset.id


def _render(case: Case, made: dict[str, str]) -> str:
    """A render of the two, as the ingress submits it."""
    farm, plan = case.farm, _plan(case)
    scene, character = made["scene_id"], made["character_id"]
    loan = lending.find(farm.database, farm.account_id, scene_id=scene, character_id=character)
    assert loan.video is not None, "the scene has one"
    given: dict[str, Any] = {
        "plan": plan,
        "inputs": loan.inputs(),
        "mode": "preprocessed",
        "credits": prices.price(loan.video, "preprocessed"),
        "stages": loan.stages(plan),
        "source": "",
        "assets": loan.assets,
        "facts": loan.facts(plan),
        "lent": loan.files(plan),
    }
    case.jobs.append(farm.submit_rows(**given))
    return case.jobs[-1]


def _plan(case: Case) -> Plan:
    engine = case.farm.settings.engine_of(Model.V4)
    return replace(plan_for(Model.V4, engine=engine), **SHORT)


def _delete(case: Case, asset_id: str) -> None:
    with case.farm.database.begin() as session:
        assets.delete(session, case.farm.settings, session.get_one(Asset, asset_id))
