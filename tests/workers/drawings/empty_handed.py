"""Says that it is done, and has made nothing."""

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve


def run(request: Request, report: Report) -> Done:
    return Done()


if __name__ == "__main__":
    serve(run)
