"""Draws the first span twice, and the others never."""

from dataclasses import replace

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve
from tests.workers.drawings import draws


def run(request: Request, report: Report) -> Done:
    first = request.spans[:1]
    return draws.run(replace(request, spans=first * len(request.spans)), report)


if __name__ == "__main__":
    serve(run)
