"""Draws, at 50 frames a second."""

import time

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve
from tests.workers.drawings import draws


def run(request: Request, report: Report) -> Done:
    return draws.run(request, report, frame=lambda: time.sleep(0.02))


if __name__ == "__main__":
    serve(run)
