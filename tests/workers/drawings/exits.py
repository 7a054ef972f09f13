"""Draws the first span, then ends without a word on the wire."""

import os
import sys
from dataclasses import replace

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve
from tests.workers.drawings import draws


def run(request: Request, report: Report) -> Done:
    draws.run(replace(request, spans=request.spans[:1]), report)
    print("the device fell off the bus", file=sys.stderr, flush=True)
    os._exit(3)


if __name__ == "__main__":
    serve(run)
