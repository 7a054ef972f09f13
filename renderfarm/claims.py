"""What a worker says of itself, and what it is handed when it claims a unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.spec import Plan, RenderSpec, Span, Stage, VideoInfo
from renderfarm import stages
from renderfarm.models import JobKind
from renderfarm.storage import StoredFile


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """A worker: its name, the queue it serves and the versions it can run."""

    name: str
    queue: str
    #: ``{"engines": ["puppet_v4/1"], "perception": "1", "plan": "1"}``.
    versions: Mapping[str, Any]

    def pins(self) -> frozenset[str]:
        """The pins that it can serve."""
        perception, plan = self.versions.get("perception", ""), self.versions.get("plan", "")
        modelless = self.queue in stages.MODELLESS.values()
        engines = ("",) if modelless else self.versions.get("engines", ())
        return frozenset(stages.pins_of(self.queue, engine, perception, plan) for engine in engines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A unit under lease, with all that is needed to run it. ``attempt`` is the fence."""

    unit_id: str
    job_id: str
    account_id: str
    #: Of the request that brought the job (``models.Job``).
    request_id: str | None
    traceparent: str | None
    kind: JobKind
    mode: str
    stage: Stage
    index: int
    attempt: int
    spec: RenderSpec
    plan: Plan
    #: None until it is known: the first stage of a job may be to fetch it.
    video: VideoInfo | None
    #: Storage keys of the uploads: ``picture``, ``video``.
    inputs: Mapping[str, str]
    #: Where inputs are yet to be fetched from, by the same names.
    urls: Mapping[str, str]
    #: Everything the job's units have finished so far: inputs of this one, and its resume list.
    artifacts: Mapping[str, StoredFile]
    #: What earlier stages found out: ``cuts``, ``people``.
    facts: Mapping[str, Any]
    #: The pieces or segments that earlier attempts left to do.
    spans: tuple[Span, ...]
    #: The unit's size, and how much of it earlier attempts have finished.
    total: int
    finished: int

    @property
    def folder(self) -> str:
        """The storage folder of this attempt: ``work/{job}/{stage}-{index}/{attempt}/``."""
        return f"work/{self.job_id}/{self.stage.value}-{self.index}/{self.attempt}/"
