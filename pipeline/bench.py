"""What a render costs: time by stage, and the peak memory of the process that draws.

The stages run in a fresh ``python -m pipeline serve``, as on a worker, so that the peak is theirs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from pipeline.errors import PipelineError, ToolError
from pipeline.ffmpeg import VideoWriter, probe, read_frames
from pipeline.protocol import Done, Failed, Report, Request, load_event
from pipeline.render import stages_of
from pipeline.spec import Model, RenderSpec, VideoInfo

#: Seconds between two looks at the memory.
_INTERVAL = 0.1
#: A process may end between being found and being asked.
_ENDED = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


def bench(picture: Path, video: Path, model: Model, memory: Sequence[int] = ()) -> dict[str, Any]:
    """Render and say what it took; with ``memory``, also the peaks for so many seconds of video.

    The process that draws renders twice: ``first`` includes loading the libraries, as a fresh worker's
    first job does; the stages' figures are of the second, as all later jobs'. ``bare`` is a plain
    decode and encode of the same clip through the same reader and writer, before and after: the
    machine drifts, ratios do not. Core time is what was worked, whoever else kept the cores busy.
    """
    info = probe(video)
    before = _bare(video, info)
    measured = _measured(picture, video, info, model, rounds=2)
    after = _bare(video, info)
    bare = {name: (before[name] + after[name]) / 2 for name in before}
    for figures in (*measured["stages"].values(), measured):
        figures["wall_over_bare"] = round(figures["wall_seconds"] / bare["wall_seconds"], 2)
        figures["core_over_bare"] = round(figures["core_seconds"] / bare["core_seconds"], 2)
    result: dict[str, Any] = {
        "model": model.value,
        "clip": {
            "width": info.width,
            "height": info.height,
            "rate": str(info.rate),
            "frames": info.frames,
            "seconds": round(info.duration, 3),
        },
        "bare": _per_second(bare, info),
        **measured,
    }
    if memory:
        result["memory_by_length"] = memory_by_length(picture, video, model, memory)
    return result


def _bare(video: Path, info: VideoInfo) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        started, used = time.monotonic(), _core_seconds(psutil.Process())
        loop(video, Path(folder) / "bare.mp4", info.frames)
        return {
            "wall_seconds": time.monotonic() - started,
            "core_seconds": _core_seconds(psutil.Process()) - used,
        }


def _core_seconds(process: psutil.Process) -> float:
    """What a process and its ended children have worked so far."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _per_second(figures: Mapping[str, float], info: VideoInfo) -> dict[str, float]:
    """``wall_seconds`` and ``core_seconds``, and both per second of the clip."""
    return {
        **{name: round(value, 3) for name, value in figures.items()},
        "wall_per_second": round(figures["wall_seconds"] / info.duration, 3),
        "core_per_second": round(figures["core_seconds"] / info.duration, 3),
    }


def memory_by_length(picture: Path, video: Path, model: Model, lengths: Sequence[int]) -> dict[str, Any]:
    """The peaks for ``video`` looped to each of ``lengths`` seconds, and the last over the first."""
    info = probe(video)
    peaks: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for seconds in lengths:
            clip = Path(folder) / f"{seconds}.mp4"
            loop(video, clip, round(seconds * info.rate))
            peaks[f"{seconds}_s"] = _measured(picture, clip, probe(clip), model)["memory"]
            clip.unlink()
    first, last = (peaks[f"{seconds}_s"]["peak_pss_mb"] for seconds in (lengths[0], lengths[-1]))
    return {**peaks, "growth": round(last / first, 3)}


def loop(video: Path, output: Path, frames: int) -> None:
    """Write ``frames`` frames of ``video``, played again and again, without sound."""
    info = probe(video)
    with VideoWriter(output, info.width, info.height, info.rate) as writer:
        written = 0
        while written < frames:
            for frame in read_frames(video, info):
                writer.write(frame)
                written += 1
                if written == frames:
                    break


def _measured(picture: Path, video: Path, info: VideoInfo, model: Model, rounds: int = 1) -> dict[str, Any]:
    """Renders in a fresh process: the last one's times by stage and in all, the first's, and the peaks."""
    whole: list[dict[str, float]] = []
    with _Drawing() as drawing:
        for _ in range(rounds):
            stages: dict[str, Any] = {}
            started, used = time.monotonic(), drawing.core_seconds()
            before, worked = started, used
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                for stage, _, _ in stages_of(
                    [picture], video, RenderSpec(model), Path(folder), run=drawing.run
                ):
                    now, core = time.monotonic(), drawing.core_seconds()
                    took = {"wall_seconds": now - before, "core_seconds": core - worked}
                    stages[stage.value] = _per_second(took, info)
                    before, worked = now, core
            whole.append({"wall_seconds": before - started, "core_seconds": worked - used})
        memory = drawing.peaks()
    return {
        "stages": stages,
        **_per_second(whole[-1], info),
        "first": _per_second(whole[0], info),
        "memory": memory,
    }


class _Drawing:
    """A process that draws, watched."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # it ends its whole group when its input ends
        )
        self._peaks = {"peak_pss_mb": 0.0, "peak_rss_mb": 0.0}
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watcher.join()
        with self._process as process:
            process.kill()

    def run(self, request: Request, report: Report) -> Done:
        """Have the request done there."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{request.dumps()}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            event = load_event(line)
            if isinstance(event, Done):
                return event
            if isinstance(event, Failed):
                error = PipelineError(f"{request.stage}: {event.message}")
                error.code = event.code
                raise error
            report(event)
        raise ToolError(f"{request.stage}: the process that draws ended")

    def core_seconds(self) -> float:
        """What the process and its ended children have worked so far."""
        return _core_seconds(psutil.Process(self._process.pid))

    def peaks(self) -> dict[str, float]:
        """The highest sums, so far, over the process and its children; in MB of 10^6 bytes."""
        return {name: round(value, 1) for name, value in self._peaks.items()}

    def _watch(self) -> None:
        root = psutil.Process(self._process.pid)
        while not self._over.wait(_INTERVAL):
            pss = rss = 0
            tree = [root]
            with suppress(*_ENDED):
                tree += root.children(recursive=True)
            for process in tree:
                with suppress(*_ENDED):
                    info = process.memory_full_info()
                    # Only Linux shares out shared pages; elsewhere they count in full.
                    pss += getattr(info, "pss", info.rss)
                    rss += info.rss
            self._peaks["peak_pss_mb"] = max(self._peaks["peak_pss_mb"], pss / 1e6)
            self._peaks["peak_rss_mb"] = max(self._peaks["peak_rss_mb"], rss / 1e6)
