"""How ffmpeg and ffprobe are run: the guards around a source, the child, and what it complained of."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from pipeline.errors import PipelineError, ToolError, Unreadable

#: The demuxers of the containers the farm takes: MP4/MOV, WebM, AVI. A playlist or a concat script
#: under a video's name would make ffmpeg open other files or addresses; this refuses it.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"

#: Also keeps the build's name and random ids out of files: same input, same bytes.
BITEXACT = ("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")

#: Threads of decoders and of filters: by themselves they take as many as there are cores, each with
#: frames of its own in memory.
THREADS = 2

#: ENOSPC and EDQUOT, as ffmpeg says them.
_NO_ROOM = ("No space left on device", "Disk quota exceeded")
#: How much of ffmpeg's complaint an error carries.
_COMPLAINT_BYTES = 2000


def guard(source: str | Path) -> tuple[str, dict[str, str | None]]:
    """The address and the input options with which ffmpeg opens ``source`` and nothing else."""
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        protocols, address = "http,https,tcp,tls", source
        waits = {"rw_timeout": "30000000"}  # microseconds without a byte
    else:
        # The prefix keeps a file's name from being read as an option or as another protocol.
        protocols, address, waits = "file", f"file:{Path(source).absolute()}", {}
    return address, {"protocol_whitelist": protocols, "format_whitelist": DEMUXERS, **waits}


def flags(options: dict[str, str | None]) -> list[str]:
    """Options as arguments: ``{"ss": "1", "copyts": None}`` is ``-ss 1 -copyts``."""
    return [part for name, value in options.items() for part in (f"-{name}", value) if part is not None]


@cache
def _program(name: str) -> tuple[str, ...]:
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"{name} is not installed")
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    # A killed worker must leave no encoder behind. setpriv replaces itself by the program, so the
    # child's pid is the program's, and unlike preexec_fn it is safe in a process with threads.
    return (setpriv, "--pdeathsig", "KILL", "--", path) if setpriv else (path,)


class Child:
    """A running ffmpeg or ffprobe. Use ``running`` to start one."""

    def __init__(self, program: str, arguments: Sequence[str], *, stdin: bool, complaints: IO[bytes]) -> None:
        self._program = program
        self._complaints = complaints
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            [*_program(program), *arguments],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            bufsize=0,
        )

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def complaint(self) -> str:
        """The end of what the program wrote to its standard error."""
        size = self._complaints.seek(0, 2)
        self._complaints.seek(max(0, size - _COMPLAINT_BYTES))
        return self._complaints.read().decode(errors="replace").strip()

    def failure(self, what: str, kind: type[PipelineError]) -> PipelineError:
        """The error to raise: ``kind``, unless the program was killed or had no room to write.

        Neither says anything of the input.
        """
        code, complaint = self.process.wait(), self.complaint()
        innocent = code < 0 or any(words in complaint for words in _NO_ROOM)
        return (ToolError if innocent else kind)(f"{what} ({self._program} exit {code}): {complaint}")


@contextmanager
def running(program: str, arguments: Sequence[str], *, stdin: bool = False) -> Iterator[Child]:
    """Run ``program``; when the block is left, however that happens, the child is gone."""
    with tempfile.TemporaryFile() as complaints:
        child = Child(program, arguments, stdin=stdin, complaints=complaints)
        try:
            yield child
        finally:
            child.process.kill()
            for pipe in (child.process.stdin, child.process.stdout):
                if pipe is not None:
                    pipe.close()
            child.process.wait()


def run(arguments: Sequence[str], what: str, kind: type[PipelineError] = Unreadable) -> None:
    """Run ffmpeg to its end; raises ``kind`` with its complaint where it fails."""
    with running("ffmpeg", ["-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments]) as child:
        if child.process.wait() != 0:
            raise child.failure(what, kind)
