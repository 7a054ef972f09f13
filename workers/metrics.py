"""What the workers count. The child counts, the main process shows.

The client's multiprocess mode carries the numbers from one to the other; it is on when
``PROMETHEUS_MULTIPROC_DIR`` is set before this module is imported (``workers.__main__`` does so).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Counter, Histogram, start_http_server

from renderfarm import stages
from renderfarm.metrics.page import registry_of
from renderfarm.metrics.shared import SharedFolder

ATTEMPTS = Counter(
    "renderfarm_unit_attempts_total", "Attempts at units of work, by how they ended.", ["stage", "outcome"]
)
STAGE_SECONDS = Histogram(
    "renderfarm_stage_duration_seconds",
    "Seconds from a unit's claim to its finish.",
    ["stage", "model"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
)
FRAMES = Counter("renderfarm_frames_rendered_total", "Frames in finished segments.", ["model"])


def show(host: str, port: int, queue: str, folder: Path) -> None:
    """Serve the numbers of all processes of a queue's worker that count in ``folder``, at ``/metrics``."""
    start_http_server(port, host, registry_of(f"worker-{queue}", SharedFolder(folder)))


def begin(queue: str, outcomes: Iterable[str]) -> None:
    """Have every series there that the attempts of a queue's units can be counted in."""
    for stage in stages.of_queue(queue):
        for outcome in outcomes:
            ATTEMPTS.labels(stage, outcome)
