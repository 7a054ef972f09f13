"""What is known of the stages without looking at a row: queue, versions, size, weight, checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pipeline.spec import NEEDS, Model, Plan, Stage, VideoInfo

#: The pool of each model.
QUEUES: Mapping[Model, str] = {Model.V3: "v3", Model.V4: "v4"}
#: What needs no model. Whatever users have us fetch has workers of its own: a slow host keeps nobody's video
#: from being stitched, and nobody else has to reach the internet.
CPU, FETCH = "cpu", "fetch"
MODELLESS: Mapping[Stage, str] = {Stage.FETCH: FETCH, Stage.STITCH: CPU}
#: All of them.
ALL = (*QUEUES.values(), *MODELLESS.values())

#: Percent of a whole render's work, as measured for a clip of half a minute. Fixed, so that a job's
#: percentage never goes back. A job of other stages has the shares that they have among themselves.
WEIGHTS: Mapping[Stage, int] = {
    Stage.FETCH: 3,
    Stage.REFERENCE: 4,
    Stage.ANALYSE: 45,
    Stage.JOIN: 1,
    Stage.SAMPLE: 4,
    Stage.PLATE: 2,
    Stage.SEGMENT: 43,
    Stage.STITCH: 1,
    Stage.PORTRAIT: 1,
}

#: Checkpoints in the order in which clients know them, and the stage that ends in each.
CHECKPOINTS: Mapping[str, Stage] = {
    "ref_done": Stage.REFERENCE,
    "dri_done": Stage.JOIN,
    "bg_done": Stage.PLATE,
    "render_done": Stage.SEGMENT,
}

#: The last stages of jobs: what they deliver is kept, and public.
LAST = frozenset({Stage.STITCH, Stage.PORTRAIT})

#: Stages that work through the video frame by frame; the size of the others is counted in percent.
_BY_FRAME = frozenset({Stage.ANALYSE, Stage.SAMPLE, Stage.SEGMENT})


def queue_of(stage: Stage, model: Model) -> str:
    """The queue whose workers can do the stage."""
    return MODELLESS.get(stage) or QUEUES[model]


def of_queue(queue: str) -> list[Stage]:
    """The stages whose units may stand in the queue."""
    if queue in QUEUES.values():
        return [stage for stage in Stage if stage not in MODELLESS]
    return [stage for stage, own in MODELLESS.items() if own == queue]


def pins_of(queue: str, engine: str, perception: str, plan: str) -> str:
    """The versions a unit of the queue is pinned to, in one word; what needs no model knows none."""
    cut = f"plan/{plan}"
    return cut if queue in MODELLESS.values() else f"{engine} perception/{perception} {cut}"


def pins_by(plan: Plan, queue: str) -> str:
    """The versions that a plan pins a unit of the queue to."""
    return pins_of(queue, str(plan.engine), plan.perception, plan.version)


def size_of(stage: Stage, video: VideoInfo | None) -> int:
    """How much there is to do: frames, or 100 percent."""
    return video.frames if video is not None and stage in _BY_FRAME else 100


def following(own: Sequence[Stage], done: Collection[Stage], made: Collection[Stage]) -> list[Stage]:
    """The stages to make now: not there yet, and everything they wait for is done.

    What is not among the job's ``own`` stages was done before it, or is nobody's concern.
    """
    to_do = set(own) - set(done)
    return [stage for stage in own if stage not in made and to_do.isdisjoint(NEEDS[stage])]


def checkpoint_of(own: Collection[Stage], done: Collection[Stage]) -> str | None:
    """The furthest checkpoint whose forerunners have all been passed, of the job's ``own`` stages."""
    reached = None
    for checkpoint, stage in CHECKPOINTS.items():
        if stage not in own:
            continue
        if stage not in done:
            break
        reached = checkpoint
    return reached
