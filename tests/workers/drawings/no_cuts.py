"""Does its work and names cuts that lie outside of the video."""

from dataclasses import replace

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve
from tests.workers.drawings import draws


def run(request: Request, report: Report) -> Done:
    return replace(draws.run(request, report), facts={"cuts": [10, 10_000], "people": []})


if __name__ == "__main__":
    serve(run)
