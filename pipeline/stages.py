"""``run``: the one way in which a stage is done, by the farm's workers and by the pipeline alone.

A request names its inputs and an empty folder; what a stage writes there, with which facts, is in
``pipeline.protocol``. Heavy libraries load with the first stage that wants them; engines stay loaded.
"""

from __future__ import annotations

from contextlib import suppress

from pipeline.choice import Fixed
from pipeline.errors import EngineError, OutOfMemory, WrongModel
from pipeline.protocol import Done, Item, Progress, Report, Request
from pipeline.shelf import Shelf
from pipeline.spec import ENGINES, PERCEPTION_VERSION, PLAN_VERSION, Stage
from pipeline.units import numbered

#: The tracks and characters of the last jobs: a job's segments need the same ones, request by request.
_SHELF = Shelf(6)


def run(request: Request, report: Report, fixed: Fixed | None = None) -> Done:
    """Do ``request``; raises a ``PipelineError``. Whole spans are reported as they are finished.

    ``fixed`` is what this process draws with instead of the model's own engine.
    """
    _check_versions(request, fixed)
    _remember(request)
    try:
        if fixed is not None and request.stage is not Stage.STITCH:
            return _fixed(request, report, fixed)
        return _STAGES[request.stage](request, report)
    except MemoryError as error:
        raise OutOfMemory(f"The stage {request.stage} ran out of memory.") from error


def _remember(request: Request) -> None:
    """Spare every reader the look through the video that was had before."""
    if request.source and "video" in request.inputs:
        from pipeline.ffmpeg import known
        from pipeline.ffmpeg.probe import remember

        with suppress(ValueError):  # of another version: look anew
            remember(request.inputs["video"], known.loads(request.source))


def warm(fixed: Fixed | None = None) -> None:
    """Load what is soon loaded and small, so that a first request need not wait for it."""
    import pipeline.stitch  # numpy and the tools of ffmpeg

    if fixed is not None:
        import pipeline.fixed  # noqa: F401


def _check_versions(request: Request, fixed: Fixed | None) -> None:
    """A plan that was pinned to other code would give another picture here: another worker must do it.

    Stitching copies what any engine has made: only the plan is its business.
    """
    engine = ENGINES[request.spec.model] if fixed is None else fixed.id
    here = {"engine": str(engine), "perception": PERCEPTION_VERSION, "plan": PLAN_VERSION}
    plan = request.plan
    pinned = {"engine": str(plan.engine), "perception": plan.perception, "plan": plan.version}
    if request.stage is Stage.STITCH:
        here, pinned = {"plan": here["plan"]}, {"plan": pinned["plan"]}
    if here != pinned:
        raise EngineError(f"The job is pinned to {_named(pinned)}; this worker has {_named(here)}.")


def _named(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _fixed(request: Request, report: Report, fixed: Fixed) -> Done:
    from pipeline.fixed import STAGES

    return STAGES[request.stage](request, report, fixed)


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


def _portrait(request: Request, report: Report) -> Done:
    from pipeline.portrait import portray

    return portray(request, report)


_STAGES = {
    Stage.REFERENCE: _reference,
    Stage.ANALYSE: _analyse,
    Stage.JOIN: _join,
    Stage.SAMPLE: _sample,
    Stage.PLATE: _plate,
    Stage.SEGMENT: _segment,
    Stage.PORTRAIT: _portrait,
    Stage.STITCH: _stitch,
}
