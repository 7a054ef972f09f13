"""Finds no person in a video that went away under it."""

from pipeline.errors import NoPerson
from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve


def run(request: Request, report: Report) -> Done:
    request.inputs["video"].unlink()
    raise NoPerson


if __name__ == "__main__":
    serve(run)
