"""A host on this machine with files to be fetched."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: What a host does with a request, by how often the path was asked for before: whether it answers it whole.
Answers = Callable[[int], bool]


@contextmanager
def host(port: int, files: Mapping[str, Path], answers: Answers, asked: Counter[str]) -> Iterator[None]:
    """A host with these files by their paths; ``asked`` counts how often each was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data, before = files[self.path].read_bytes(), asked[self.path]
            asked[self.path] += 1
            whole = answers(before)
            with suppress(OSError):  # whoever asked may be gone
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data if whole else data[: len(data) // 2])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join(5)
