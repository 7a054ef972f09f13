"""The probes that the ingress makes of an upload, and nothing else, in loops over all of a process."""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from renderfarm import media
from renderfarm.settings import Settings
from renderfarm.storage import open_storage


def probes(store: Path, threads: int, seconds: float) -> float:
    """How often a second ``threads`` loops judge the store's ``picture-N`` and ``video-N``, for so long."""
    settings = Settings(database_url="", storage_url=f"file://{store}")
    storage = open_storage(settings)
    began = time.perf_counter()

    def loop(number: int) -> float:
        done = 0
        while not done or time.perf_counter() < began + seconds:
            # As a new upload: of a file that has not changed, the result is remembered.
            os.utime(store / f"video-{number}")
            media.judge_picture(settings, storage, f"picture-{number}")
            media.judge_video(settings, storage, f"video-{number}")
            done += 1
        return done / (time.perf_counter() - began)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(loop, range(threads)))


if __name__ == "__main__":
    print(json.dumps(probes(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
