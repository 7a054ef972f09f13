"""Fails as a programming error does."""

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve


def run(request: Request, report: Report) -> Done:
    return {}["no such key"]


if __name__ == "__main__":
    serve(run)
