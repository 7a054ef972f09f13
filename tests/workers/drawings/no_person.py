"""Fails because of the input."""

from pipeline.errors import NoPerson
from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve


def run(request: Request, report: Report) -> Done:
    raise NoPerson


if __name__ == "__main__":
    serve(run)
