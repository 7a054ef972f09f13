"""A worker's folder tells the living from the dead, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workers.folder import WorkerFolder, pulses


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    """The folder of a worker that was killed in the middle of a unit."""
    program = f"""
import os, signal
from pathlib import Path
from workers.folder import WorkerFolder
folder = WorkerFolder.open(Path({str(tmp_path)!r}), "v4")
folder.pulse()
print(folder.path, flush=True)
with folder.scratch("unit") as scratch:
    (scratch / "half.mp4").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return Path(killed.stdout.strip())


def test_what_a_killed_worker_left_is_removed_by_the_next(dead: Path, tmp_path: Path) -> None:
    assert (dead / "unit" / "half.mp4").exists()
    living = WorkerFolder.open(tmp_path, "cpu")
    assert not dead.exists()
    living.close()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_folder_of_a_living_worker_is_left_alone(tmp_path: Path) -> None:
    one = WorkerFolder.open(tmp_path, "v4")
    with one.scratch("unit") as scratch:
        two = WorkerFolder.open(tmp_path, "v4")
        assert scratch.exists()
        assert one.name != two.name
    two.close()
    one.close()


def test_a_folder_belongs_to_the_living_until_the_last_process_of_its_worker_has_gone(
    tmp_path: Path,
) -> None:
    program = f"""
import os
from pathlib import Path
from workers.folder import WorkerFolder
folder = WorkerFolder.open(Path({str(tmp_path)!r}), "v4")
if os.fork():
    os._exit(0)
print(folder.path, flush=True)
input()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as main:
        assert main.stdin and main.stdout
        path = Path(main.stdout.readline().strip())
        main.wait()
        WorkerFolder.open(tmp_path, "v4").close()
        assert path.exists()
        main.stdin.write("\n")
        main.stdin.close()
        main.stdout.read()  # until the child has gone, too
    WorkerFolder.open(tmp_path, "v4").close()
    assert not path.exists()


def test_scratch_goes_with_everything_in_it_also_after_an_error(tmp_path: Path) -> None:
    folder = WorkerFolder.open(tmp_path, "v4")
    with pytest.raises(KeyError), folder.scratch("unit") as scratch:
        (scratch / "deep").mkdir()
        (scratch / "deep" / "frame.png").touch()
        raise KeyError
    assert not scratch.exists()
    folder.close()


def test_only_the_pulses_of_the_living_count(dead: Path, tmp_path: Path) -> None:
    assert (dead / "pulse").exists()
    assert pulses(tmp_path, "v4") == []
    folder = WorkerFolder.open(tmp_path, "v4")
    folder.pulse()
    [age] = pulses(tmp_path, "v4")
    assert age < 10
    assert pulses(tmp_path, "cpu") == []
    assert len(pulses(tmp_path)) == 1, "of any queue"
    folder.close()


def test_nobody_has_a_pulse_where_no_worker_ever_ran(tmp_path: Path) -> None:
    assert pulses(tmp_path / "none", "v4") == []
