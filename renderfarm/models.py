"""The rows: what the farm remembers. PostgreSQL is the truth; all times are the database's own.

Who may write what: ``jobs.py`` alone changes a status, ``credits.py`` alone touches money,
``leases.py`` alone grants and prolongs a lease, ``line.py`` alone says who is next, ``accounts.py``
alone makes accounts and keys, ``audit.py`` alone writes the audit log,
``webhooks.py`` alone says who is told what.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pipeline.spec import VideoInfo


class Base(DeclarativeBase):
    """The root of all tables."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        str: String,
        int: BigInteger,
    }


class JobStatus(StrEnum):
    """The states a client sees; the last three are final."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: A job in one of these never changes again.
FINAL = frozenset({JobStatus.COMPLETE, JobStatus.FAILED, JobStatus.CANCELLED})


class JobKind(StrEnum):
    """What a job is for."""

    RENDER = "render"
    CHARACTER = "character"  # prepares one
    SCENE = "scene"  # prepares one


class UnitStatus(StrEnum):
    """The states of one unit of work."""

    WAITING = "waiting"  # a row only
    ADMITTED = "admitted"  # a message with its id was, or will be, published
    RUNNING = "running"  # claimed by a worker under a lease
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Account(Base):
    """Who pays. ``available`` and ``held`` are sums over the ledger, kept in step with it."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("available >= 0", name="available_not_negative"),
        CheckConstraint("held >= 0", name="held_not_negative"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    available: Mapped[int] = mapped_column(server_default=text("0"))
    held: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Since when nobody has it any more; its ledger and its jobs stay.
    deleted_at: Mapped[datetime | None]


class ApiKey(Base):
    """A key, of which only the SHA-256 and the first characters are kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    prefix: Mapped[str]
    #: What it may do, with spaces between: see ``accounts.Scope``.
    scopes: Mapped[str] = mapped_column(server_default=text("'read render'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Null: never.
    expires_at: Mapped[datetime | None]
    #: To the minute.
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditEntry(Base):
    """Who did what to whose keys, credits and assets: never changed, never deleted (``audit.py``).

    A trigger of the table refuses both.
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_log_by_account", "account_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: The user of the machine for what is done on the command line, ``farm`` for what the farm does itself.
    actor: Mapped[str]
    action: Mapped[str]
    #: Whose: null for what concerns no one account.
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    #: The id of what was changed.
    subject: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))


class EntryKind(StrEnum):
    """Why credits moved."""

    GRANT = "grant"  # available += n
    HOLD = "hold"  # available -= n, held += n
    CAPTURE = "capture"  # held -= n: spent
    RELEASE = "release"  # held -= n, available += n


class LedgerEntry(Base):
    """One movement of whole credits; never changed, never deleted.

    Over all entries of an account: sum of ``available_delta`` = available, of ``held_delta`` = held.
    """

    __tablename__ = "ledger_entries"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    kind: Mapped[str]
    available_delta: Mapped[int]
    held_delta: Mapped[int]
    note: Mapped[str] = mapped_column(server_default=text("''"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Settlement(Base):
    """How a job's hold ended. Its primary key makes sure that it ends once."""

    __tablename__ = "settlements"
    __table_args__ = (CheckConstraint("captured >= 0 AND returned >= 0", name="parts_not_negative"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    captured: Mapped[int]
    returned: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


_WHOLE = """'["reference", "analyse", "join", "sample", "plate", "segment", "stitch"]'"""


#: Whether an ended render has files still. Literally: the partial indices are found by these.
_ENDED = "kind = 'render' AND completed_at IS NOT NULL"
OUTPUTS_KEPT = f"{_ENDED} AND outputs <> '{{}}'::jsonb"
INPUTS_KEPT = f"{_ENDED} AND inputs <> '{{}}'::jsonb"


class Job(Base):
    """One render, or one preparation of a character or scene, that somebody asked for."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_by_account", "account_id", "created_at"),
        Index("jobs_to_start", "queue_deadline", postgresql_where=text("status = 'queued'")),
        Index("jobs_to_end", "run_deadline", postgresql_where=text("status = 'processing'")),
        # What an account had for nothing (``free.py``).
        Index("jobs_free", "account_id", "created_at", postgresql_where=text("credits = 0")),
        # What an account has coming in at a price that nobody knows yet (``credits.py``).
        Index(
            "jobs_unpriced",
            "account_id",
            postgresql_where=text("credits IS NULL AND status IN ('queued', 'processing')"),
        ),
        Index(
            "jobs_given_up",
            "account_id",
            "completed_at",
            postgresql_where=text("status = 'cancelled' AND started_at IS NOT NULL"),
        ),
        # What became of a request.
        Index("jobs_by_request", "request_id", postgresql_where=text("request_id IS NOT NULL")),
        # How long jobs take (``estimate.py``).
        Index(
            "jobs_lately",
            "model",
            "kind",
            "mode",
            "completed_at",
            postgresql_where=text("status = 'complete'"),
        ),
        # What has been kept for longest (``retention.py``).
        Index("jobs_with_outputs", "completed_at", postgresql_where=text(OUTPUTS_KEPT)),
        Index("jobs_with_inputs", "completed_at", postgresql_where=text(INPUTS_KEPT)),
        # What ended since one last looked, and all of it without a look at the rows (``metrics/jobs.py``).
        Index(
            "jobs_ended",
            "completed_at",
            postgresql_include=["model", "mode", "status", "created_at", "started_at"],
            postgresql_where=text("completed_at IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    status: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default=text("'render'"))  # JobKind
    #: What it consists of, in order; a stage that is not there was done before it. Rows of older versions
    #: are whole renders.
    stages: Mapped[list[str]] = mapped_column(JSONB, server_default=text(_WHOLE))
    mode: Mapped[str]  # full_pipeline | preprocessed | fast
    model: Mapped[str]
    spec: Mapped[dict[str, Any]]  # pipeline.spec.RenderSpec
    plan: Mapped[dict[str, Any]]  # pipeline.spec.Plan: versions pinned at submission
    #: pipeline.spec.VideoInfo; None until it is known.
    video: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    #: Storage keys of what was uploaded: {"picture": "in/...", "video": "in/..."}.
    inputs: Mapped[dict[str, Any]]
    #: Where inputs are yet to be fetched from, by the same names: none are left once they have come, or the
    #: job has ended.
    urls: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    #: What later stages need from earlier ones: {"cuts": [...], "people": [...]}.
    facts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    #: Storage keys of what was made: {"output": ..., "mask": ..., "thumbnail": ...}.
    outputs: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    #: Things worth telling the user ("the last row was left out: 719 is odd").
    notes: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    checkpoint: Mapped[str | None]  # ref_done | dri_done | bg_done | render_done
    #: Held since the submission, or since the video's length is known: None until then. 0: free.
    credits: Mapped[int | None]
    #: Whether two units of one of its stages ever ran at once: what fast mode is paid for.
    ran_wide: Mapped[bool] = mapped_column(server_default=text("false"))
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    #: Since when its outputs are gone.
    files_deleted_at: Mapped[datetime | None]
    queue_deadline: Mapped[datetime]
    run_deadline: Mapped[datetime | None]
    #: Where its sender wants to be told what becomes of it.
    webhook_url: Mapped[str | None]
    #: The correlation id of the request that brought it, and its span: what is done for it is logged, and
    #: traced, under these.
    request_id: Mapped[str | None]
    traceparent: Mapped[str | None]

    @property
    def known_video(self) -> VideoInfo | None:
        """What is known of the driving video."""
        return None if self.video is None else VideoInfo.from_json(self.video)


class Asset(Base):
    """A stored character or scene, a template, or the import of one.

    What it is made of belongs to its job, whose status is its own.
    """

    __tablename__ = "assets"
    __table_args__ = (Index("assets_by_account", "account_id", "kind", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)  # char_... | scene_... | template_...
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[str]  # JobKind: character | scene
    name: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    #: The asset whose files it uses, where they are not its own.
    source_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id"), index=True)
    #: Since when every account may import it.
    published_at: Mapped[datetime | None]
    #: Since when nobody finds it any more.
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AssetUse(Base):
    """A job that works with an asset's files: while it is open they stay."""

    __tablename__ = "asset_uses"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("assets.id"), primary_key=True, index=True)


class Unit(Base):
    """One piece of work of one job: what a message names and a worker claims."""

    __tablename__ = "units"
    __table_args__ = (
        UniqueConstraint("job_id", "stage", "index"),
        Index(
            "units_open",
            "queue",
            "status",
            postgresql_where=text("status IN ('waiting', 'admitted', 'running')"),
        ),
        # The order of admission, account by account, read without sorting what waits.
        Index(
            "units_waiting",
            "queue",
            "fast",
            "account_id",
            "pins",
            "queued_at",
            "id",
            postgresql_where=text("status = 'waiting'"),
        ),
        Index("units_busy", "account_id", postgresql_where=text("status IN ('admitted', 'running')")),
    )

    #: ``job_...:stage:index``: readable wherever an operator meets it.
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    stage: Mapped[str]
    index: Mapped[int] = mapped_column(server_default=text("0"))
    queue: Mapped[str]  # v3 | v4 | cpu
    #: Whether it is one of many of a fast job.
    fast: Mapped[bool] = mapped_column(server_default=text("false"))
    #: The versions a worker must advertise to claim it (``stages.pins_of``).
    pins: Mapped[str]
    status: Mapped[str]
    #: The fence: raised by each claim; every later write says ``WHERE attempt = mine``.
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    #: Attempts that count against the cap since the last newly finished item.
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    #: Workers that vanished with it since the last newly finished item.
    lost: Mapped[int] = mapped_column(server_default=text("0"))
    worker: Mapped[str | None]
    #: The worker on which it failed last: another one is preferred.
    avoid: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    #: Frames (or steps) of this unit that are done, as users see it: a retry does not take it back.
    done: Mapped[int] = mapped_column(server_default=text("0"))
    total: Mapped[int] = mapped_column(server_default=text("0"))
    #: What the running attempt itself has done, and when that number last grew.
    attempt_done: Mapped[int] = mapped_column(server_default=text("0"))
    progressed_at: Mapped[datetime | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    #: When its job was submitted: the order within an account.
    queued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Not admitted before this time (backoff).
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: When it was last admitted, in order: no two units share a time.
    admitted_at: Mapped[datetime | None]
    #: When its message was last published.
    published_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Line(Base):
    """An account that may have units waiting in a queue: its place among those who take turns there.

    Written whenever a unit begins to wait, and dropped when the dispatcher finds none, so that the next
    unit is found without looking at all that wait. Fast jobs stand in a line of their own.
    """

    __tablename__ = "lines"
    __table_args__ = (Index("lines_in_turn", "queue", "fast", "served_at", "account_id"),)

    queue: Mapped[str] = mapped_column(primary_key=True)
    fast: Mapped[bool] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    #: When a unit of the account was last admitted, or the account joined the line: the oldest goes first.
    served_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    #: When a unit last began to wait.
    joined_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Attempt(Base):
    """How one claim of a unit ended: the history an operator reads, and what the metrics count."""

    __tablename__ = "attempts"

    unit_id: Mapped[str] = mapped_column(ForeignKey("units.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    stage: Mapped[str]
    worker: Mapped[str]
    outcome: Mapped[str]  # see ``jobs.Outcome``
    error_code: Mapped[str | None]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Artifact(Base):
    """A finished file of a job, as the fenced write made it *the* one: the resume list."""

    __tablename__ = "artifacts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)  # segment-0003, character, tracks, ...
    unit_id: Mapped[str] = mapped_column(ForeignKey("units.id"))
    attempt: Mapped[int]
    key: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GarbageState(StrEnum):
    """How far a stored file is on its way out. A step that somebody died in is done again."""

    STORED = "stored"  # it is to be deleted
    DELETED = "deleted"  # the caches that are told for nothing are to be told
    READ_OUT = "read_out"  # who was reading it then has done so: every cache is to be told
    INVALIDATED = "invalidated"  # as before, and those that cost know it


class Garbage(Base):
    """Stored files to delete after a time, unless somebody claims them first.

    Written *before* an upload starts and removed by the transaction that makes the file belong to
    something, so that a process may die on any line and leave nothing behind.
    A key that ends in ``/`` stands for everything under it, one in ``/*`` for what is no artifact there.
    """

    __tablename__ = "garbage"

    key: Mapped[str] = mapped_column(primary_key=True)
    after: Mapped[datetime] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(default=GarbageState.STORED, server_default=text("'stored'"))
    #: Of a file that caches may have, noted before it is deleted; None where nobody knows.
    deleted_size: Mapped[int | None]


class UploadState(StrEnum):
    """The states of a file that is sent by itself."""

    OPEN = "open"  # its parts come in
    COMPLETE = "complete"  # whole, and ready to be used
    USED = "used"  # a job has taken it


class Upload(Base):
    """A file that is sent by itself, and used by its id (``uploads.py``).

    Its key is garbage from the start, until a job takes it.
    """

    __tablename__ = "uploads"
    __table_args__ = (CheckConstraint("size > 0", name="size_positive"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    kind: Mapped[str]  # image | video
    key: Mapped[str]
    size: Mapped[int]
    #: Of all its parts but the last.
    part_size: Mapped[int]
    state: Mapped[str] = mapped_column(server_default=text("'open'"))
    #: What the sender says it will be, to be checked.
    sha256: Mapped[str | None]
    #: The store's own name for the parts that belong together; empty where it needs none.
    handle: Mapped[str] = mapped_column(server_default=text("''"))
    #: Signs the addresses of its parts, where the farm itself takes them.
    secret: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)


class IdempotencyKey(Base):
    """A key that an account's request came with, and what came of it (``idempotency.py``)."""

    __tablename__ = "idempotency_keys"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    #: Names the request that holds it; every later write says ``WHERE holder = mine``.
    holder: Mapped[str]
    #: Of what was asked for, and the job that came of it; neither while the request lasts.
    fingerprint: Mapped[str | None]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    #: Until then it is held, or remembered.
    until: Mapped[datetime] = mapped_column(index=True)


class WebhookEndpoint(Base):
    """An address that is told what becomes of each job of its account.

    The one without an address stands for those that jobs bring along: its secrets sign what goes there.
    Secrets are kept as they are, since every message is signed with them.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (UniqueConstraint("account_id", "url"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    url: Mapped[str]
    secret: Mapped[str]
    #: The secret before, which signs beside the other one for a while.
    previous_secret: Mapped[str | None]
    previous_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Since when nothing is sent there: it answered that it is gone.
    disabled_at: Mapped[datetime | None]


class WebhookDelivery(Base):
    """One event of one job on its way to one address, until it is delivered or given up."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index(
            "webhook_deliveries_due", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")
        ),
        Index("webhook_deliveries_by_account", "account_id", "created_at"),
    )

    #: The ``webhook-id``: the same at each attempt, so that a receiver knows what it has had.
    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    endpoint_id: Mapped[str] = mapped_column(
        ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), index=True
    )
    url: Mapped[str]
    #: ``name:port`` of the address: no more than so many messages at once go to one.
    host: Mapped[str]
    type: Mapped[str]  # job.processing | job.complete | job.failed | job.cancelled
    #: Of two events of a job, the later one has the greater.
    sequence: Mapped[int]
    #: The job as it was then (``public.state_of``).
    state: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    #: The fence: raised by each claim; who records an attempt says ``WHERE attempt = mine``.
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    #: Attempts that did not succeed since it was sent, or sent again by hand.
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    #: When it is due, or, while a courier has it in hand, when that courier's lease ends; none at its end.
    next_attempt_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]


class WebhookAttempt(Base):
    """How one attempt at a delivery ended; of the answer nothing is kept but its status."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[str] = mapped_column(
        ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    status: Mapped[int | None]
    milliseconds: Mapped[int]
    error: Mapped[str | None]


class Worker(Base):
    """A live worker, as it last reported."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str] = mapped_column(index=True)
    #: What it can run: {"engines": ["puppet_v4/1"], "perception": "1", "plan": "1"}.
    versions: Mapped[dict[str, Any]]
    unit_id: Mapped[str | None]
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
