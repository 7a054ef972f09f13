"""A unit from its claim to its end, with real rows, a real store and programs that misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pipeline.spec import Background, RenderSpec, Stage
from renderfarm import jobs, leases
from renderfarm.db import Database
from renderfarm.models import Garbage, JobStatus, UnitStatus
from renderfarm.storage import FileStore, StorageError, Stored, Writer, checksum
from tests.waiting import until
from tests.workers.farm import CREDITS, VIDEO, Farm
from workers import attempt, transfer
from workers.board import Board
from workers.runner import Outcome


def test_a_job_passes_all_its_stages_and_ends_with_its_outputs(farm: Farm) -> None:
    job_id = farm.submit()
    farm.finish(job_id)
    job = farm.job(job_id)
    assert (job.status, job.checkpoint) == (JobStatus.COMPLETE, "render_done")
    assert set(job.outputs) == {"output", "thumbnail"}
    artifact = farm.artifacts(job_id)["output"]
    assert artifact.key == f"out/{job_id}/{artifact.sha256}.mp4"
    stored = farm.store.fetch(artifact.key, farm.settings.work_dir)
    assert checksum(stored).sha256 == artifact.sha256
    # Three segments went in, by the cut that the join found, and the video for its sound.
    assert "segment-0002" in stored.read_text() and "video" in stored.read_text()
    assert farm.balance() == (100 - CREDITS, 0)


def test_a_transparent_job_keeps_a_mask_for_each_segment(farm: Farm) -> None:
    job_id = farm.submit(RenderSpec(background=Background.TRANSPARENT))
    farm.advance(job_id, Stage.STITCH)
    names = set(farm.artifacts(job_id))
    assert {"segment-0000", "segment-0001", "segment-0002"} <= names
    assert {"mask-0000", "mask-0001", "mask-0002"} <= names


def test_a_message_that_comes_again_is_dropped(farm: Farm) -> None:
    unit_id = farm.advance(farm.submit(), Stage.JOIN)
    assert farm.run(unit_id) is Outcome.DONE
    assert farm.run(unit_id) is Outcome.DUPLICATE


def test_a_unit_that_nobody_knows_is_dropped(farm: Farm) -> None:
    with farm.runner() as runner:
        assert runner.run("job_none:segment:0") is Outcome.DUPLICATE
        assert runner.run("nonsense") is Outcome.DUPLICATE


def test_a_worker_refuses_the_unit_of_another_model(farm: Farm) -> None:
    unit_id = farm.advance(farm.submit(), Stage.SEGMENT)
    with farm.runner(queue="v3") as runner:
        assert runner.run(unit_id) is Outcome.DUPLICATE
    assert farm.run(unit_id) is Outcome.DONE


def test_the_process_that_draws_is_kept_from_unit_to_unit(farm: Farm) -> None:
    job_id = farm.submit()
    with farm.runner() as runner:
        pids = set()
        for unit_id in farm.admit(job_id):
            assert runner.run(unit_id) is Outcome.DONE
            pids.add(runner._tools.drawing.pid)
    assert len(pids) == 1 and None not in pids


def test_what_draws_is_there_before_the_first_unit_and_again_after_one_that_ended_it(farm: Farm) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    with farm.runner("exits") as runner:
        runner.warm()
        first = runner._tools.drawing.pid
        assert runner.run(unit_id) is Outcome.RETRY
        runner.warm()
        assert runner._tools.drawing.pid not in {None, first}


def test_a_transaction_that_the_server_ended_for_its_silence_is_tried_again(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = farm.submit()
    finish, tries = jobs.finish, []

    def finish_late(session: Session, *rest: object) -> bool:
        tries.append(session)
        if len(tries) == 1:  # as if the process had stood still here
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
            process = session.scalar(text("SELECT pg_backend_pid()"))
            until(lambda: not is_backend(farm.database, process))
        return finish(session, *rest)

    unit_id = farm.advance(job_id, Stage.JOIN)
    monkeypatch.setattr(jobs, "finish", finish_late)
    assert farm.run(unit_id) is Outcome.DONE
    assert len(tries) == 2


def is_backend(database: Database, process: int) -> bool:
    """Whether a process of the server is alive."""
    query = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :process")
    with database.begin() as session:
        return bool(session.scalar(query, {"process": process}))


def test_an_error_of_the_input_ends_the_job_with_its_code_and_costs_nothing(farm: Farm) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.JOIN)
    assert farm.run(unit_id, "no_person") is Outcome.REFUSED
    job = farm.job(job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "CS-UORC01-101")
    assert job.error_message == "No person was found in the driving video."
    assert farm.balance() == (100, 0)


def test_a_store_that_goes_away_under_an_engine_is_no_error_of_the_input(farm: Farm) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    assert farm.run(unit_id, "loses_input") is Outcome.HANDED_OVER
    assert farm.unit(unit_id).failures == 0
    assert farm.job(job_id).status == JobStatus.PROCESSING


@pytest.mark.parametrize("drawing", ["exits", "raises", "eats_memory", "babbles", "short", "long", "repeats"])
def test_an_engine_that_misbehaves_gets_another_chance(farm: Farm, drawing: str) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    assert farm.run(unit_id, drawing) is Outcome.RETRY
    assert farm.unit(unit_id).status == UnitStatus.WAITING
    assert farm.unit(unit_id).error_code == ("CS-UORC01-107" if drawing == "eats_memory" else "CS-UORC01-103")
    farm.finish(job_id)
    assert farm.job(job_id).status == JobStatus.COMPLETE


@pytest.mark.parametrize("drawing", ["no_number", "no_cuts"])
def test_facts_that_no_row_or_stage_could_take_are_a_failed_attempt(farm: Farm, drawing: str) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.JOIN)
    assert farm.run(unit_id, drawing) is Outcome.RETRY
    assert farm.unit(unit_id).error_code == "CS-UORC01-103"
    farm.finish(job_id)
    assert farm.job(job_id).status == JobStatus.COMPLETE


def test_an_engine_that_hangs_is_killed_and_gets_another_chance(farm: Farm) -> None:
    farm.settings = replace(farm.settings, stall_seconds=0.5)
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    assert farm.run(unit_id, "hangs") is Outcome.RETRY
    assert "no progress for 0.5 s" in (farm.unit(unit_id).error_message or "")


def test_what_was_finished_before_a_failure_is_not_done_again(farm: Farm) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    assert farm.run(unit_id, "exits") is Outcome.RETRY
    [first] = [row for name, row in farm.artifacts(job_id).items() if name.startswith("segment")]
    assert farm.admit(job_id) == [unit_id]
    assert farm.run(unit_id) is Outcome.DONE
    segments = [row for name, row in sorted(farm.artifacts(job_id).items()) if name.startswith("segment")]
    assert [row.attempt for row in segments] == [1, 2, 2]
    assert segments[0].key == first.key == f"work/{job_id}/segment-0/1/segment-0000.bin"


def test_a_unit_with_nothing_left_to_draw_is_only_finished(farm: Farm) -> None:
    unit_id = farm.advance(farm.submit(), Stage.SEGMENT)
    with farm.database.begin() as session:  # so that it can store its items, but not its end
        session.execute(text("ALTER TABLE attempts ADD CONSTRAINT dies CHECK (false) NOT VALID"))
    assert farm.run(unit_id) is Outcome.STALE
    with farm.database.begin() as session:
        session.execute(text("ALTER TABLE attempts DROP CONSTRAINT dies"))
        session.execute(text("UPDATE units SET lease_until = now() - interval '1 s'"))
        leases.take_back(session, farm.settings, unit_id)
    farm.admit(farm.unit(unit_id).job_id)
    assert farm.run(unit_id, "exits") is Outcome.DONE


def test_a_cancelled_job_stops_drawing_within_two_seconds(farm: Farm) -> None:
    farm.settings = replace(farm.settings, heartbeat_seconds=0.2)
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    with farm.runner("slow") as runner, in_the_background(lambda: runner.run(unit_id)) as ended:
        until(lambda: farm.unit(unit_id).done > 0)
        with farm.database.begin() as session:
            jobs.cancel(session, farm.account_id, job_id, farm.settings)
        assert ended(2) is Outcome.STALE
        assert runner._tools.drawing.pid is None
    assert farm.balance() == (100, 0)


def test_progress_reaches_the_rows_while_it_draws(farm: Farm) -> None:
    farm.settings = replace(farm.settings, heartbeat_seconds=0.1)
    unit_id = farm.advance(farm.submit(), Stage.ANALYSE)
    with farm.runner("slow") as runner, in_the_background(lambda: runner.run(unit_id)) as ended:
        until(lambda: 0 < farm.unit(unit_id).done < VIDEO.frames)
        assert ended(20) is Outcome.DONE
    assert farm.unit(unit_id).done == VIDEO.frames


def test_a_worker_that_is_asked_to_stop_finishes_its_item_and_hands_the_unit_over(farm: Farm) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    board = Board()
    with (
        farm.runner("slow", board=board) as runner,
        in_the_background(lambda: runner.run(unit_id)) as ended,
    ):
        until(lambda: board.unit_id == unit_id)
        until(lambda: runner._tools.drawing.pid)
        board.drain()
        assert ended(10) is Outcome.HANDED_OVER
    unit = farm.unit(unit_id)
    assert (unit.status, unit.failures) == (UnitStatus.WAITING, 0)
    assert [name for name in farm.artifacts(job_id) if name.startswith("segment")] == ["segment-0000"]
    assert farm.admit(job_id) == [unit_id]
    farm.finish(job_id)
    assert farm.job(job_id).status == JobStatus.COMPLETE


def test_an_item_that_takes_too_long_does_not_keep_a_worker_that_is_asked_to_stop(farm: Farm) -> None:
    farm.settings = replace(farm.settings, drain_seconds=0.2)
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.PLATE)
    board = Board()
    with (
        farm.runner("hangs", board=board) as runner,
        in_the_background(lambda: runner.run(unit_id)) as ended,
    ):
        until(lambda: runner._tools.drawing.pid)
        board.drain()
        assert ended(5) is Outcome.HANDED_OVER
    assert farm.unit(unit_id).failures == 0


def test_an_attempt_that_was_taken_over_writes_nothing_more(farm: Farm) -> None:
    farm.settings = replace(farm.settings, heartbeat_seconds=0.1)
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    with farm.runner("slow") as runner, in_the_background(lambda: runner.run(unit_id)) as ended:
        until(lambda: farm.unit(unit_id).done > 0)
        with farm.database.begin() as session:  # as the sweeper and the next worker would
            session.execute(text("UPDATE units SET attempt = attempt + 1 WHERE id = :id"), {"id": unit_id})
        assert ended(5) is Outcome.STALE
    assert farm.unit(unit_id).status == UnitStatus.RUNNING


def test_connections_that_are_cut_again_and_again_cost_nothing(farm: Farm) -> None:
    farm.settings = replace(farm.settings, heartbeat_seconds=0.05)
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    cut += " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with farm.runner("slow") as runner, in_the_background(lambda: runner.run(unit_id)) as ended:
        until(lambda: farm.unit(unit_id).done > 0)
        while farm.unit(unit_id).status == UnitStatus.RUNNING:
            with closing(Database(farm.database.url)) as other, other.begin() as session:
                session.execute(text(cut))
        assert ended(10) is Outcome.DONE
    assert farm.unit(unit_id).attempt == 1


def test_a_store_that_fails_for_a_moment_is_waited_for(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "DELAYS", (0.01, 0.01, 0.01))
    job_id = farm.submit()
    farm.store = store = Flaky(farm.store, failures=2)
    farm.finish(job_id)
    assert farm.job(job_id).status == JobStatus.COMPLETE
    assert store.failures == 0


def test_a_store_that_stays_away_costs_no_attempt(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "DELAYS", (0.01,))
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    steady, farm.store = farm.store, Flaky(farm.store, failures=1000)
    assert farm.run(unit_id) is Outcome.HANDED_OVER
    assert (farm.unit(unit_id).status, farm.unit(unit_id).failures) == (UnitStatus.WAITING, 0)
    farm.store = steady
    farm.finish(job_id)
    assert farm.job(job_id).status == JobStatus.COMPLETE


def test_a_damaged_input_is_never_drawn_from(farm: Farm) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    with farm.store.writer(farm.artifacts(job_id)["tracks"].key) as out:
        out.write(b"rotten")
        out.commit()
    assert farm.run(unit_id) is Outcome.RETRY
    assert farm.unit(unit_id).error_code == "CS-UORC01-199"


def test_an_input_that_is_gone_is_not_looked_for_without_end(farm: Farm) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.SEGMENT)
    farm.store.delete(farm.artifacts(job_id)["tracks"].key)
    for _ in range(farm.settings.max_attempts - 1):
        assert farm.run(unit_id) is Outcome.RETRY
        assert farm.admit(job_id) == [unit_id]
    assert farm.run(unit_id) is Outcome.FAILED
    assert farm.job(job_id).error_code == "CS-UORC01-125"
    assert farm.balance() == (100, 0)


def test_an_attempt_that_wakes_up_late_does_not_throw_the_finished_output_away(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.STITCH)

    def slow_checksum(path: Path) -> Stored:
        monkeypatch.setattr(attempt, "checksum", checksum)
        with farm.database.begin() as session:
            session.execute(text("UPDATE units SET lease_until = now() - interval '1 s'"))
            leases.take_back(session, farm.settings, unit_id)
        farm.finish(job_id)  # another worker does, while this one stands still
        return checksum(path)

    monkeypatch.setattr(attempt, "checksum", slow_checksum)
    assert farm.run(unit_id) is Outcome.STALE
    assert farm.job(job_id).status == JobStatus.COMPLETE
    with farm.database.begin() as session:
        assert session.scalars(select(Garbage.key)).all() == [f"work/{job_id}/"]


def test_a_job_whose_output_was_not_made_is_not_complete(farm: Farm) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.STITCH)
    assert farm.run(unit_id, "empty_handed") is Outcome.RETRY
    assert farm.balance() == (100 - CREDITS, CREDITS)


def test_a_final_output_is_garbage_until_its_job_is_finished(farm: Farm) -> None:
    job_id = farm.submit()
    unit_id = farm.advance(job_id, Stage.STITCH)
    farm.store = store = Watching(farm.store, farm)
    assert farm.run(unit_id) is Outcome.DONE
    assert {key.rpartition(".")[2] for key in store.promised} == {"mp4", "jpg"}
    with farm.database.begin() as session:
        assert session.scalars(select(Garbage.key)).all() == [f"work/{job_id}/"]


class Flaky(FileStore):
    """Another store's files; the first writes fail."""

    def __init__(self, other: FileStore, failures: int) -> None:
        super().__init__(other._root, other.links)
        self.failures = failures

    def writer(self, key: str, content_type: str = "") -> Writer:
        if self.failures:
            self.failures -= 1
            raise StorageError("the store is away")
        return super().writer(key, content_type)


class Watching(FileStore):
    """Another store's files; notes which of them were garbage when their writing began."""

    def __init__(self, other: FileStore, farm: Farm) -> None:
        super().__init__(other._root, other.links)
        self._farm = farm
        self.promised: list[str] = []

    def writer(self, key: str, content_type: str = "") -> Writer:
        with self._farm.database.begin() as session:
            if session.get(Garbage, key):
                self.promised.append(key)
        return super().writer(key, content_type)


@contextmanager
def in_the_background(action) -> Iterator:
    """Run ``action`` in a thread; yields what waits for its result."""
    results: list[Outcome] = []
    thread = threading.Thread(target=lambda: results.append(action()))
    thread.start()

    def ended(seconds: float) -> Outcome:
        thread.join(seconds)
        assert results, f"not over after {seconds} s"
        return results[0]

    try:
        yield ended
    finally:
        thread.join(30)
