"""``python -m tests.workers.worker QUEUE DRAWING``: a real worker with a small program that draws."""

import sys

from renderfarm.settings import Settings
from tests.workers.drawings import program
from workers.__main__ import work

if __name__ == "__main__":
    sys.exit(work(Settings.from_env(), sys.argv[1], program(sys.argv[2])))
