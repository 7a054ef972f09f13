"""``run``: the one way in which a stage is done, by the farm's workers and by the pipeline alone.

A request names its inputs and an empty folder; what a stage writes there, with which facts, is in
``pipeline.protocol``. Heavy libraries load with the first stage that wants them; engines stay loaded.
"""

from __future__ import annotations

from pipeline.errors import EngineError, OutOfMemory, WrongModel
from pipeline.protocol import Done, Item, Progress, Report, Request
from pipeline.shelf import Shelf
from pipeline.spec import ENGINES, PERCEPTION_VERSION, PLAN_VERSION, Stage
from pipeline.units import numbered

#: The tracks and characters of the last jobs: a job's segments need the same ones, request by request.
_SHELF = Shelf(6)


def run(request: Request, report: Report) -> Done:
    """Do ``request``; raises a ``PipelineError``. Whole spans are reported as they are finished."""
    _check_versions(request)
    try:
        return _STAGES[request.stage](request, report)
    except MemoryError as error:
        raise OutOfMemory(f"The stage {request.stage} ran out of memory.") from error


def _check_versions(request: Request) -> None:
    """A plan that was pinned to other code would give another picture here: another worker must do it."""
    here = ENGINES[request.spec.model], PERCEPTION_VERSION, PLAN_VERSION
    pinned = request.plan.engine, request.plan.perception, request.plan.version
    if here != pinned:
        raise EngineError(f"The job is pinned to {_named(*pinned)}; this worker has {_named(*here)}.")


def _named(engine: object, perception: str, plan: str) -> str:
    return f"{engine}, perception {perception}, plan {plan}"


def _reference(request: Request, report: Report) -> Done:
    from pipeline.character import make_character
    from pipeline.threads import fix_threads

    fix_threads()
    files: dict[str, str] = {}
    for done, number in enumerate(request.spec.characters, 1):
        name = numbered("character", number)
        path = request.out / f"{name}.npz"
        make_character(request.inputs[numbered("picture", number)]).save(path)
        files[name] = str(path)
        report(Progress(done, len(request.spec.characters)))
    return Done(files)


def _analyse(request: Request, report: Report) -> Done:
    from pipeline.perception.video import analyse
    from pipeline.threads import fix_threads

    fix_threads()
    return analyse(request, report)


def _join(request: Request, report: Report) -> Done:
    from pipeline.perception.join import join
    from pipeline.threads import fix_threads

    fix_threads()
    return join(request, report)


def _sample(request: Request, report: Report) -> Done:
    from pipeline.plate import gather
    from pipeline.threads import fix_threads

    fix_threads()
    return gather(request, report)


def _plate(request: Request, report: Report) -> Done:
    from pipeline.plate import make_plate
    from pipeline.threads import fix_threads

    fix_threads()
    return make_plate(request, report)


def _segment(request: Request, report: Report) -> Done:
    from pipeline.casting import parts_of
    from pipeline.character import Character
    from pipeline.compositing import render_segment
    from pipeline.engines.registry import engine_for
    from pipeline.perception.tracks import Tracks
    from pipeline.plate import Plate
    from pipeline.threads import fix_threads

    engine = engine_for(request.plan.engine)
    fix_threads()
    tracks = _SHELF.take(Tracks.load, request.inputs["tracks"])
    plate = Plate.load(request.inputs["plate"])
    if tracks.model is not request.spec.model:
        raise WrongModel(f"The scene was prepared for {tracks.model}, not for {request.spec.model}.")
    parts = parts_of(request.spec, tracks)
    characters = {
        number: _SHELF.take(Character.load, request.inputs[numbered("character", number)])
        for number in sorted({part.character for part in parts})
    }
    total, done = sum(len(span) for span in request.spans), 0
    for span in request.spans:

        def forward(event: Progress | Item, before: int = done) -> None:
            # A segment counts its own frames; the request counts all of them.
            report(Progress(before + event.done, total) if isinstance(event, Progress) else event)

        render_segment(request, span, tracks, plate, characters, engine, forward)
        done += len(span)
    return Done()


def _stitch(request: Request, report: Report) -> Done:
    from pipeline.stitch import stitch

    return stitch(request, report)


_STAGES = {
    Stage.REFERENCE: _reference,
    Stage.ANALYSE: _analyse,
    Stage.JOIN: _join,
    Stage.SAMPLE: _sample,
    Stage.PLATE: _plate,
    Stage.SEGMENT: _segment,
    Stage.STITCH: _stitch,
}
