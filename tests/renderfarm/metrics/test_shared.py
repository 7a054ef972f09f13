"""What several processes count together outlives each of them, and takes no more room for it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from renderfarm.metrics.shared import SharedFolder
from tests.renderfarm.metrics.page import Page

#: A process that counts three, and ends without a word.
COUNTS = """
import os
from prometheus_client import Counter, Gauge, Histogram
Counter("renderfarm_a", "", ["x"]).labels("y").inc(3)
Histogram("renderfarm_h", "", buckets=[1, 10]).observe(5)
Gauge("renderfarm_g", "", multiprocess_mode="livesum").set(1)
print(os.getpid(), flush=True)
os._exit(9)
"""


def count(folder: Path) -> int:
    """One such process, of which only its files are left."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", COUNTS], env=env, stdout=subprocess.PIPE, check=False)
    return int(done.stdout)


def test_processes_that_come_and_go_are_added_up_in_a_folder_that_does_not_grow(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path)
    page = Page(shared)
    for number in (1, 2, 3):
        pid = count(tmp_path)
        assert (page("a_total", x="y"), page("g")) == (3 * number, 1)
        assert shared.pids() == {pid}
        assert shared.fold([pid])
        assert (page("a_total", x="y"), page("g")) == (3 * number, None)
        assert (page("h_count"), page("h_sum"), page("h_bucket", le="1.0")) == (number, 5 * number, 0)
        assert shared.pids() == set()
        assert len(list(tmp_path.iterdir())) == 3  # two sums, and the lock


def test_nothing_is_folded_under_the_eyes_of_a_reader(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path)
    pid = count(tmp_path)
    with (tmp_path / "lock").open("w") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        assert not shared.fold([pid])
        assert Page(shared)("a_total", x="y") == 3, "readers do not wait for each other"
    assert shared.fold([pid])


def test_what_there_is_no_room_for_stays_where_it_is(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path)
    pid = count(tmp_path)
    (tmp_path / "counter_ended.db").symlink_to("/dev/full")
    assert not shared.fold([pid])
    (tmp_path / "counter_ended.db").unlink()
    assert Page(shared)("a_total", x="y") == 3
    assert shared.fold([pid])
    assert Page(shared)("a_total", x="y") == 3


@pytest.mark.parametrize("left", [b"", bytes(8)])
def test_one_that_was_killed_as_it_made_its_file_had_counted_nothing(tmp_path: Path, left: bytes) -> None:
    shared = SharedFolder(tmp_path)
    (tmp_path / "counter_17.db").write_bytes(left)
    assert shared.fold([17])
    assert Page(shared).all() == {}
