"""One attempt at one unit: fetch what it needs, have it drawn, store what comes out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import Session

from pipeline.protocol import Done, Item, Progress, Request
from pipeline.spec import Span, Stage, VideoInfo
from pipeline.units import BY_SPANS, files_of, inputs_of, items_of
from renderfarm import crash, jobs, leases, tracing
from renderfarm.db import Database
from renderfarm.leases import Claim
from renderfarm.settings import Settings
from renderfarm.stages import LAST
from renderfarm.storage import Storage, StorageError, Stored, StoredFile, checksum
from workers.drawing import Drawing, DrawingError, Patience
from workers.fetched import Fetched
from workers.heart import Heart, Reason, Stopped
from workers.metrics import FRAMES
from workers.transfer import upload

log = logging.getLogger(__name__)

T = TypeVar("T")
#: How long to wait before a transaction is tried again.
_RETRY_SECONDS = 0.25
_MOVE_SECONDS = 0.5
#: What is drawn when a draining worker's time is up may still be stored for so long.
_LAST_UPLOAD_SECONDS = 5.0


#: How a database that is away shows; ``InternalError``: it ended a transaction that had stood still.
_AWAY = (OperationalError, InterfaceError, InternalError)


class BrokenPromise(DrawingError):
    """The stage said that it was done, and was not."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished attempt hands to the transaction that finishes its unit."""

    files: list[StoredFile] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker lends to each of its attempts."""

    settings: Settings
    database: Database
    storage: Storage
    drawing: Drawing
    #: Whether this worker is asked to stop.
    draining: Callable[[], bool]


class Attempt:
    """Works in ``folder`` under the lease that ``heart`` keeps; what it reads may be ``fetched`` already."""

    def __init__(self, claim: Claim, folder: Path, fetched: Fetched, heart: Heart, tools: Tools) -> None:
        self._claim = claim
        self._folder = folder
        self._fetched = fetched
        self._heart = heart
        self._tools = tools
        self._drain_since: float | None = None
        self._items: list[Future[None]] = []
        #: The parts that were drawn, by their indexes: each of them once.
        self._kept: set[int] = set()
        self._drawn = False

    def run(self) -> Result:
        """Do what is left of the unit. Finished items are recorded on the way, however it ends.

        Raises ``Stopped``, ``DrawingError``, ``StorageError``, ``Corrupt``.
        """
        if self._claim.stage in BY_SPANS and not self._claim.spans:
            return Result()  # an attempt before recorded the last item, but not the end
        request = self._request()
        with ThreadPoolExecutor(1, thread_name_prefix="items") as uploader:
            try:
                with tracing.span("draw"):
                    # What is stored meanwhile is part of what is drawn.
                    here = copy_context()
                    keep = lambda item: uploader.submit(here.run, self._keep, item, request)  # noqa: E731
                    done = self._draw(request, keep)
            except DrawingError:
                _check_inputs(request)  # before the uploader has waited for the store to come back
                raise
        self._check_items()
        if len(self._items) < len(request.spans):
            raise BrokenPromise(f"The engine drew {len(self._items)} of {len(request.spans)} parts.")
        if request.stage is Stage.JOIN and not _are_cuts(done.facts.get("cuts"), request.video):
            raise BrokenPromise("The engine named cuts that are none.")
        if missing := set(files_of(request.stage, request.spec)) - done.files.keys():
            raise BrokenPromise(f"The engine did not make {', '.join(sorted(missing))}.")
        log.info("drawn, now storing")
        files = [self._store(name, request.out / file) for name, file in done.files.items()]
        crash.here(self._tools.settings, crash.Point.STORED, request.stage)
        return Result(files, done.facts)

    def record(self, write: Callable[[Session], T]) -> T:
        """Commit ``write``, tried again while the database is away and the lease may still hold."""
        while True:
            try:
                with self._tools.database.begin() as session:
                    return write(session)
            except _AWAY as error:
                log.warning("the database failed: %s", str(error).partition("\n")[0])
                self._heart.check()
                time.sleep(_RETRY_SECONDS)

    def advance(self, done: int, total: int) -> None:
        """Note the progress of what is not drawn."""
        self._heart.advance(done, total)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Progress by the clock, for what says nothing of its own: it has to be bounded by itself."""
        ended = threading.Event()

        def move() -> None:
            while not ended.wait(_MOVE_SECONDS):
                self._heart.moved()

        thread = threading.Thread(target=move, name="moving", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _request(self) -> Request:
        claim = self._claim
        (out := self._folder / "out").mkdir()
        stored = {name: (key, None) for name, key in claim.inputs.items()} | {
            file.name: (file.key, Stored(file.size, file.sha256)) for file in claim.artifacts.values()
        }
        self._fetched.trim()
        with tracing.span("fetch inputs"):
            inputs = {
                name: self._fetched.fetch(stored[name][0], self.tick, stored[name][1])
                for name in inputs_of(claim.stage, stored)
            }
        source = claim.facts.get(jobs.SOURCE, "")
        return Request(claim.stage, claim.spec, claim.plan, out, inputs, claim.video, claim.spans, source)

    def _draw(self, request: Request, keep: Callable[[Item], Future[None]]) -> Done:
        settings = self._tools.settings
        patience = Patience(settings.setup_seconds, settings.stall_seconds)
        with closing(self._tools.drawing.run(request, patience, self.tick)) as events:
            for event in events:
                match event:
                    case Progress(done, total):
                        if request.spans and done > sum(map(len, request.spans)):
                            raise BrokenPromise("The engine drew more frames than there are.")
                        self._heart.advance(done, total)
                        crash.here(settings, crash.Point.DRAWN, request.stage)
                    case Item():
                        self._items.append(keep(event))
                        if self._tools.draining() and len(self._items) < len(request.spans):
                            raise Stopped(Reason.DRAIN)
                    case Done():
                        self._drawn = True
                        return event
        raise AssertionError("a drawing that ends without Done raises")

    def tick(self) -> None:
        """Raise what stops the work: the unit is lost, an item was not stored, time to drain is up."""
        self._check_items()
        self._check(self._tools.settings.drain_seconds)

    def _check(self, drain_seconds: float) -> None:
        self._heart.check()
        if self._tools.draining():
            self._drain_since = self._drain_since or time.monotonic()
            if time.monotonic() - self._drain_since >= drain_seconds:
                raise Stopped(Reason.DRAIN)

    def _check_items(self) -> None:
        for item in self._items:
            if item.done():
                item.result()

    def _keep(self, item: Item, request: Request) -> None:
        """Store the files of a finished span and record them: from then on they are done for good."""
        self._check_items()  # where one could not be stored, the next one need not wait for the store
        span = next((span for span in request.spans if span.index == item.index), None)
        if (
            span is None
            or span.index in self._kept
            or set(item.files) != set(items_of(request.stage, request.spec, span))
        ):
            raise BrokenPromise(f"The engine drew part {item.index}, which nobody asked for.")
        self._kept.add(span.index)
        files = [self._store(name, request.out / file) for name, file in item.files.items()]
        crash.here(self._tools.settings, crash.Point.ITEM_STORED, request.stage)
        if not self.record(lambda session: leases.add_item(session, self._claim, files)):
            raise Stopped(Reason.LOST)
        crash.here(self._tools.settings, crash.Point.ITEM_RECORDED, request.stage)
        for file in item.files.values():
            (request.out / file).unlink()
        self._count(span)

    def _count(self, span: Span) -> None:
        if self._claim.stage is Stage.SEGMENT:
            FRAMES.labels(self._claim.spec.model.value).inc(len(span))

    def _store(self, name: str, path: Path) -> StoredFile:
        if not path.is_file():
            raise BrokenPromise(f"The engine did not write {name}.")
        claim = self._claim
        if claim.stage in LAST:
            key = f"out/{claim.job_id}/{checksum(path).sha256}{path.suffix}"
            if not self.record(lambda session: leases.promise(session, self._tools.settings, claim, key)):
                raise Stopped(Reason.LOST)
        else:
            key = f"{claim.folder}{path.name}"
        with tracing.span("upload", file=name, bytes=path.stat().st_size):
            return upload(self._tools.storage, name, key, path, self._tick_of_store)

    def _tick_of_store(self) -> None:
        """Raise what stops the storing; after the last frame, its bytes are the progress."""
        self._check(self._tools.settings.drain_seconds + _LAST_UPLOAD_SECONDS)
        crash.here(self._tools.settings, crash.Point.STORING, self._claim.stage)
        if self._drawn:
            self._heart.moved()


def _are_cuts(value: object, video: VideoInfo | None) -> bool:
    """Whether these can be the first frames of shots: later stages take a fact as it is."""
    if not isinstance(value, list) or not all(isinstance(cut, int) for cut in value):
        return False
    return value == sorted({cut for cut in value if video is not None and 0 < cut < video.frames})


def _check_inputs(request: Request) -> None:
    """Blame the store, not the input, for what was read in place and is gone with its disk."""
    for name, path in request.inputs.items():
        if not path.is_file():
            raise StorageError(f"{name} went away while it was read")
