"""Does its work and finds out a fact that is no number: JSON would have a word for it, rows have not."""

import os

from pipeline.protocol import Done, Report, Request
from pipeline.serve import serve
from tests.workers.drawings import draws


def run(request: Request, report: Report) -> Done:
    done = draws.run(request, report)
    print("the fact is", float("nan"))
    os.write(wire, b'{"event": "done", "files": {"tracks": "tracks.npz"}, "facts": {"cuts": [NaN]}}\n')
    return done


if __name__ == "__main__":
    wire = os.dup(1)  # before the protocol takes it
    serve(run)
