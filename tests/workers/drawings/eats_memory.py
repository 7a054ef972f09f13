"""Asks for more memory than any machine has."""

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve


def run(request: Request, report: Report) -> Done:
    return Done({}, {"size": len(bytearray(1 << 60))})


if __name__ == "__main__":
    serve(run)
