"""Draws a span more than there are, and its frames."""

from dataclasses import replace

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve
from pipeline.spec import Span
from tests.workers.drawings import draws


def run(request: Request, report: Report) -> Done:
    last = request.spans[-1]
    return draws.run(
        replace(request, spans=(*request.spans, Span(last.index + 1, last.stop, last.stop + 9))), report
    )


if __name__ == "__main__":
    serve(run)
