"""Draws the first span, then says the same again and again; and its helper hangs with it."""

import subprocess
import time
from dataclasses import replace

from pipeline.protocol import Done, Progress, Report, Request
from pipeline.serve import serve
from tests.workers.drawings import draws


def run(request: Request, report: Report) -> Done:
    draws.run(replace(request, spans=request.spans[:1]), report)
    helper = subprocess.Popen(["sleep", "600"])
    (request.out / "helper.pid").write_text(str(helper.pid))
    while True:
        report(Progress(1, 1000))
        time.sleep(0.02)


if __name__ == "__main__":
    serve(run)
