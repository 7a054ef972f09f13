"""From a unit's id to its end: claim, work, and tell the farm what became of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from pipeline.spec import Stage
from renderfarm import arrivals, context, crash, jobs, leases, stages, tracing
from renderfarm.errors import TABLE, FarmError
from renderfarm.leases import Claim, WorkerIdentity
from renderfarm.storage import StorageError
from workers import metrics
from workers.attempt import Attempt, Tools
from workers.board import Board
from workers.drawing import DrawingError
from workers.fetched import Fetched
from workers.fetching import fetch
from workers.folder import WorkerFolder
from workers.heart import Heart, Reason, Stopped
from workers.metrics import ATTEMPTS, STAGE_SECONDS
from workers.transfer import Corrupt, Gone

log = logging.getLogger(__name__)

_INTERNAL = "CS-UORC01-199"
_GONE = "CS-UORC01-125"


class Outcome(StrEnum):
    """How a message ended, as this worker saw it; the label of ``renderfarm_unit_attempts_total``."""

    DONE = "done"
    DUPLICATE = "duplicate"  # nothing to claim: done, taken, or not for this worker
    RETRY = "retry"  # failed, and waits for its next attempt
    FAILED = "failed"  # failed for good
    REFUSED = "refused"  # what the user sent is at fault, by the error's code; tried again or not
    STALE = "stale"  # cancelled or taken back while it ran
    HANDED_OVER = "handed_over"  # given back unfinished, through no fault of its own
    ELSEWHERE = "elsewhere"  # it failed here just now, and another worker is free: the message goes back
    UNCLAIMED = "unclaimed"  # the database was away: the message will come again


class Runner:
    """Runs units one after another in the child of a worker."""

    def __init__(self, worker: WorkerIdentity, folder: WorkerFolder, board: Board, tools: Tools) -> None:
        self._settings = tools.settings
        self._worker = worker
        self._folder = folder
        self._board = board
        self._tools = tools
        self._fetched = Fetched(tools.storage, folder.path / "fetched")
        metrics.begin(worker.queue, list(Outcome))

    def run(self, unit_id: str) -> Outcome:
        """Work on the unit if it is to be had. Whatever goes wrong with the work is an outcome."""
        stage = unit_id.split(":")[1] if unit_id.count(":") == 2 else "unknown"
        claimed_at = time.monotonic()
        try:
            with self._tools.database.begin() as session:
                claim = leases.claim(session, self._settings, unit_id, self._worker)
        except SQLAlchemyError as error:
            log.warning("%s was not claimed: %s", unit_id, str(error).partition("\n")[0])
            outcome = Outcome.UNCLAIMED
        except leases.BetterElsewhere:
            outcome = Outcome.ELSEWHERE
        else:
            outcome = self._attempt(claim, claimed_at) if claim else Outcome.DUPLICATE
        if outcome is Outcome.DUPLICATE:
            log.info("%s is not to be had: dropped", unit_id)
        ATTEMPTS.labels(stage, outcome.value).inc()
        return outcome

    def warm(self) -> None:
        """Have the process that draws ready for the next unit: one that failed was ended."""
        if self._tools.draining() or self._worker.queue == stages.FETCH:
            return
        try:
            self._tools.drawing.warm()
        except OSError as error:  # no memory, no processes: the next unit tries again, and is told
            log.warning("what draws does not start: %s", error)

    def close(self) -> None:
        """End the process that draws, and let go of what it read."""
        self._tools.drawing.close()
        self._fetched.clear()

    def _attempt(self, claim: Claim, claimed_at: float) -> Outcome:
        with self._at_work(claim, claimed_at) as attempt:
            crash.here(self._settings, crash.Point.CLAIMED, claim.stage)
            log.info("claimed")
            with tracing.span(claim.stage.value, under=claim.traceparent, worker=self._worker.name) as span:
                outcome = self._ended(claim, attempt)
                if span is not None:
                    span.set_attribute("outcome", outcome.value)
            seconds = time.monotonic() - claimed_at
            log.info("%s after %.2f s", outcome.value.replace("_", " "), seconds)
            if outcome is Outcome.DONE:
                STAGE_SECONDS.labels(claim.stage.value, claim.spec.model.value).observe(seconds)
            return outcome

    def _ended(self, claim: Claim, attempt: Attempt) -> Outcome:
        try:
            return self._work(claim, attempt)
        except SQLAlchemyError as error:
            # The lease tells the farm, once it can be told.
            log.error("nothing could be recorded: %s", str(error).partition("\n")[0])
        except Stopped:
            pass
        return Outcome.STALE

    @contextmanager
    def _at_work(self, claim: Claim, claimed_at: float) -> Iterator[Attempt]:
        """An attempt with its folder, its heartbeat and its name on the log's lines."""

        def beat(done: int, total: int) -> bool:
            with self._tools.database.begin() as session:
                return leases.heartbeat(session, self._settings, claim, done, total)

        heart = Heart(
            beat,
            claimed_at=claimed_at,
            lease=self._settings.lease_seconds,
            every=self._settings.heartbeat_seconds,
        )
        name = f"{claim.unit_id.replace(':', '-')}-{claim.attempt}"
        self._board.unit_id = claim.unit_id
        fields = {
            "request": claim.request_id,
            "account": claim.account_id,
            "job": claim.job_id,
            "unit": claim.unit_id,
            "stage": claim.stage.value,
            "attempt": claim.attempt,
        }
        try:
            with context.all_about(**fields), self._folder.scratch(name) as folder, heart:
                yield Attempt(claim, folder, self._fetched, heart, self._tools)
        finally:
            self._board.unit_id = None

    def _work(self, claim: Claim, attempt: Attempt) -> Outcome:
        """Raises ``Stopped`` where even the end cannot be told any more."""
        try:
            write = self._worked(claim, attempt)
        except Stopped as stopped:
            return self._hand_over(claim, attempt) if stopped.reason is Reason.DRAIN else Outcome.STALE
        except StorageError as error:
            log.error("the store failed: %s", error)
            return self._hand_over(claim, attempt)
        except FarmError as error:
            log.info("%s", error)
            failure = error.code, error.message, error.retryable
        except DrawingError as error:
            # What does not get better by another try is the input's fault, and nobody's who is on call.
            level = logging.WARNING if error.retryable else logging.INFO
            log.log(level, "%s%s", error, f" | stderr ends: {error.detail}" if error.detail else "")
            failure = error.code, str(error), error.retryable
        except Gone as error:
            log.error("%s", error)
            failure = _GONE, TABLE[_GONE].message, True
        except Corrupt as error:
            log.error("%s", error)
            failure = _INTERNAL, "A stored file is damaged.", True
        except Exception as error:
            log.exception("a bug, or a machine in trouble")
            failure = _INTERNAL, f"The worker failed ({type(error).__name__}).", True
        else:
            return self._finish(claim, attempt, write)
        return self._fail(claim, attempt, *failure)

    def _worked(self, claim: Claim, attempt: Attempt) -> Callable[[Session], bool]:
        """Do the unit's work; what is to be written of it, which is False for a late attempt."""
        if claim.stage is Stage.FETCH:
            arrived = fetch(claim, attempt, self._tools)
            return lambda session: arrivals.take_in(session, self._settings, claim, arrived)
        result = attempt.run()
        return lambda session: jobs.finish(session, self._settings, claim, result.files, result.facts)

    def _finish(self, claim: Claim, attempt: Attempt, write: Callable[[Session], bool]) -> Outcome:
        try:
            finished = attempt.record(write)
        except FarmError as error:  # what was fetched costs more than there is
            return self._fail(claim, attempt, error.code, error.message, False)
        crash.here(self._settings, crash.Point.FINISHED, claim.stage)
        return Outcome.DONE if finished else Outcome.STALE

    def _fail(self, claim: Claim, attempt: Attempt, code: str, message: str, retryable: bool) -> Outcome:
        said = attempt.record(
            lambda session: jobs.fail(session, self._settings, claim, code, message, retryable)
        )
        if said == jobs.Outcome.FAILED and retryable:
            log.error("given up for good: %s, %s", code, message)
        outcome = {"retry": Outcome.RETRY, "failed": Outcome.FAILED}.get(said, Outcome.STALE)
        if outcome is not Outcome.STALE and TABLE[code].of_the_sender:
            return Outcome.REFUSED  # nobody is woken for it
        return outcome

    def _hand_over(self, claim: Claim, attempt: Attempt) -> Outcome:
        given = attempt.record(lambda session: leases.hand_over(session, claim))
        return Outcome.HANDED_OVER if given else Outcome.STALE
