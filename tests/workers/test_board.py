"""The page that a worker's main process and its child share."""

from __future__ import annotations

import subprocess
import sys

from workers.board import Board

_FAMILY = """
import os
from workers.board import Board

board = Board()
if os.fork() == 0:
    board.unit_id = "job_abc:segment:0"
    os._exit(0)
os.wait()
print(board.unit_id, board.draining)
board.drain()
if os.fork() == 0:
    print(board.unit_id, board.draining, flush=True)
    os._exit(0)
os.wait()
"""


def test_what_one_process_writes_the_other_reads() -> None:
    command = [sys.executable, "-uc", _FAMILY]
    family = subprocess.run(command, capture_output=True, text=True, check=True)
    assert family.stdout.splitlines() == ["job_abc:segment:0 False", "job_abc:segment:0 True"]


def test_a_unit_is_taken_down_again() -> None:
    board = Board()
    assert (board.draining, board.unit_id) == (False, None)
    board.unit_id = "job_abc:segment:0"
    board.unit_id = None
    assert board.unit_id is None
