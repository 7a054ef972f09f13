"""What the farm answers, as JSON has it. Moments are text in UTC; newer farms may add fields."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Status = Literal["queued", "processing", "complete", "failed", "cancelled"]


class Accepted(TypedDict):
    """A render that was taken."""

    job_id: str
    status: Status
    mode: str
    enqueued_at: str


class Estimate(TypedDict):
    """What a render would cost, and when it would be there; None for what nobody can know."""

    credits: int
    model: str
    fast: bool
    queue_position: int | None
    expected_wait_seconds: float | None
    expected_render_seconds: float | None
    enough_credits: bool


class Progress(TypedDict):
    """How far a job is."""

    stage: str
    done: int
    total: int
    pct: int
    eta_seconds: float | None


class Job(TypedDict):
    """A job as it is now."""

    job_id: str
    status: Status
    mode: str
    model: str
    checkpoint: str | None
    progress_pct: int
    queue_position: int | None
    cdn_url: str | None
    cdn_url_expires_at: str | None
    mask_cdn_url: str | None
    thumbnail_url: str | None
    error: str | None
    error_code: str | None
    error_message: str | None
    progress: Progress
    result_url: str | None
    chunks: list[dict[str, Any]]
    notes: list[str]
    #: None until a video that is fetched from an address has a price.
    credits: int | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    files_deleted_at: str | None


class JobPage(TypedDict):
    """Jobs, newest first."""

    jobs: list[Job]
    next_cursor: str | None


class Preprocessing(TypedDict):
    """A character or a scene that was taken; the one of the two ids is there."""

    character_id: NotRequired[str]
    scene_id: NotRequired[str]
    job_id: str
    status: str
    enqueued_at: str


class Segment(TypedDict):
    """One person of a scene."""

    uuid: str
    type: str
    thumbnail_url: str | None


class Asset(TypedDict):
    """A character or a scene as it is now; what only scenes have may be absent."""

    id: str
    name: str
    status: Literal["pending", "processing", "ready", "failed"]
    job_id: str | None
    error: str | None
    error_message: str | None
    thumbnail_url: str | None
    credits_used: int
    created_at: str
    completed_at: str | None
    model: NotRequired[str]
    duration_seconds: NotRequired[float | None]
    fps: NotRequired[float | None]
    total_frames: NotRequired[int | None]
    width: NotRequired[int | None]
    height: NotRequired[int | None]
    segments: NotRequired[list[Segment]]


class AssetPage(TypedDict):
    """Characters or scenes, newest first: the one of the two lists is there."""

    characters: NotRequired[list[Asset]]
    scenes: NotRequired[list[Asset]]
    next_cursor: NotRequired[str | None]


class Template(TypedDict):
    """A scene that an operator has published."""

    id: str
    name: str


class Entry(TypedDict):
    """One movement of credits."""

    id: int
    kind: str
    job_id: str | None
    available_delta: int
    held_delta: int
    note: str
    created_at: str


class Allowance(TypedDict):
    """Free work of one kind, in the last 24 hours."""

    used: int
    limit: int


class FreeWork(TypedDict):
    """What the account has for nothing."""

    preprocess: Allowance
    cancels: Allowance


class Credits(TypedDict):
    """What the account has, and a page of how that came about."""

    balance: int
    held: int
    free: FreeWork
    entries: list[Entry]
    next_cursor: str | None
