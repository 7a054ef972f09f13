"""How ffmpeg and ffprobe are run: the guards around a source, the child, and what it complained of."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from pipeline.errors import PipelineError, ToolError, Unreadable
from pipeline.ffmpeg.cage import WORKING, Cage, Inmate, Limits
from pipeline.ffmpeg.codecs import DECODERS

#: The demuxers of the containers the farm takes: MP4/MOV, WebM, AVI. A playlist or a concat script
#: under a video's name would make ffmpeg open other files or addresses; this refuses it.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"

#: No frame is larger: the largest picture that is taken, in whole blocks. Nor has a file more streams:
#: phones and cameras add up to a dozen for their own use.
_MOST_PIXELS, _MOST_STREAMS = 4224 * 4224, 64
#: Bytes that are read to see what the streams are, ffmpeg's own number.
_PROBED_BYTES = 5_000_000

#: Nothing that a user's file says of itself, neither the build's name nor random ids: same input, same bytes.
BITEXACT = (
    *("-map_metadata", "-1", "-map_metadata:s", "-1", "-map_metadata:c", "-1", "-map_chapters", "-1"),
    *("-fflags", "+bitexact", "-flags", "+bitexact"),
)

#: Threads of decoders and of filters: by themselves they take as many as there are cores, each with
#: frames of its own in memory.
THREADS = 2

#: ENOSPC and EDQUOT, as ffmpeg says them.
_NO_ROOM = ("No space left on device", "Disk quota exceeded")
#: How a program ends by its own doing.
_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS}
    | {signal.SIGTRAP, signal.SIGXCPU, signal.SIGXFSZ}
)
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
    allowed = {"protocol_whitelist": protocols, "format_whitelist": DEMUXERS, "codec_whitelist": DECODERS}
    most = {"max_pixels": _MOST_PIXELS, "max_streams": _MOST_STREAMS, "probesize": _PROBED_BYTES}
    return address, {**allowed, **{name: str(value) for name, value in most.items()}, **waits}


def flags(options: dict[str, str | None]) -> list[str]:
    """Options as arguments: ``{"ss": "1", "copyts": None}`` is ``-ss 1 -copyts``."""
    return [part for name, value in options.items() for part in (f"-{name}", value) if part is not None]


@cache
def _program(name: str) -> Path:
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"{name} is not installed")
    return Path(path)


class Child:
    """A running ffmpeg or ffprobe, in its cage. Use ``running`` to start one."""

    def __init__(
        self, program: str, arguments: Sequence[str], cage: Cage, *, stdin: bool, complaints: IO[bytes]
    ) -> None:
        self._program = program
        self._complaints = complaints
        try:
            self._inmate = Inmate(_program(program), arguments, cage, stdin=stdin, complaints=complaints)
        except OSError as error:
            raise ToolError(f"{program} cannot be started: {error}") from error
        self.process = self._inmate.process

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

        Neither says anything of the input, but what makes a decoder crash, or compute without an end, does.
        """
        code, complaint = self.process.wait(), self.complaint()
        killed = code < 0 and -code not in _CRASHES
        innocent = killed or any(words in complaint for words in _NO_ROOM)
        return (ToolError if innocent else kind)(f"{what} ({self._program} exit {code}): {complaint}")

    def close(self) -> None:
        """End it, if it has not ended, and wait."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait()
        self._inmate.close()


@contextmanager
def running(
    program: str,
    arguments: Sequence[str],
    *,
    reads: Sequence[str | Path] = (),
    writes: Sequence[Path] = (),
    stdin: bool = False,
    limits: Limits = WORKING,
) -> Iterator[Child]:
    """Run ``program``; when the block is left, however that happens, the child is gone.

    It can open what it ``reads`` (files, or the address of one) and ``writes``, and nothing else.
    """
    cage = Cage(reads=reads, writes=writes, limits=limits)
    with tempfile.TemporaryFile() as complaints:
        child = Child(program, arguments, cage, stdin=stdin, complaints=complaints)
        clock = threading.Timer(limits.seconds, child.process.kill) if limits.seconds else None
        try:
            if clock:
                clock.start()
            yield child
        finally:
            if clock:
                clock.cancel()
            child.close()


def run(
    arguments: Sequence[str],
    what: str,
    kind: type[PipelineError] = Unreadable,
    *,
    reads: Sequence[Path],
    writes: Sequence[Path],
) -> None:
    """Run ffmpeg to its end; raises ``kind`` with its complaint where it fails."""
    quiet = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    with running("ffmpeg", [*quiet, *arguments], reads=reads, writes=writes) as child:
        if child.process.wait() != 0:
            raise child.failure(what, kind)
