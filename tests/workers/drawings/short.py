"""Says that it is done with a span missing."""

from dataclasses import replace

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve
from tests.workers.drawings import draws


def run(request: Request, report: Report) -> Done:
    return draws.run(replace(request, spans=request.spans[:-1]), report)


if __name__ == "__main__":
    serve(run)
