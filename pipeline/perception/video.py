"""The analyse stage: each piece of the driving video, decoded once, gives joints, matte, cuts, camera.

Pieces know nothing of each other, so they can be worked on side by side; each starts a few frames
early, so that trackers are warm when their first frame counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import read_frames
from pipeline.perception.camera import CameraTracker
from pipeline.perception.light import GRID, light_of
from pipeline.perception.matte import MatteSmoother, refine
from pipeline.perception.mattes import MatteWriter
from pipeline.perception.pieces import Piece
from pipeline.perception.pose import Pose, PoseDetector
from pipeline.perception.tracks import JOINTS
from pipeline.protocol import Done, Item, Progress, Report, Request
from pipeline.shots import CutFinder
from pipeline.spec import Span, VideoInfo

#: The shorter side of the frames that perception looks at. From 720 down to 480 joints differ by
#: about 1 px at 1080p, less than the detector's own noise; at 480 a frame costs a third less.
SHORT_SIDE = 480


def analyse(request: Request, report: Report) -> Done:
    """Write ``piece-NNNN`` and ``matte-NNNN`` for each span of the request."""
    assert request.video is not None
    total = sum(len(span) for span in request.spans)
    done = 0
    with PoseDetector(tracking=True) as detector:
        for span in request.spans:
            piece, matte = (request.out / f"{name}-{span.index:04d}" for name in ("piece", "matte"))
            piece, matte = piece.with_suffix(".npz"), matte.with_suffix(".mkv")
            video = request.inputs["video"]
            for _ in _piece(video, request.video, span, request.plan.warmup_frames, detector, piece, matte):
                done += 1
                report(Progress(done, total))
            files = {f"piece-{span.index:04d}": str(piece), f"matte-{span.index:04d}": str(matte)}
            report(Item(span.index, files))
    return Done()


def perception_size(video: VideoInfo) -> tuple[int, int]:
    """Width and height of the frames that perception looks at, which are also the mattes'."""
    scale = min(1.0, SHORT_SIDE / min(video.width, video.height))
    return max(2, round(video.width * scale)), max(2, round(video.height * scale))


def _piece(
    path: Path,
    video: VideoInfo,
    span: Span,
    warmup: int,
    detector: PoseDetector,
    piece_path: Path,
    matte_path: Path,
) -> Iterator[None]:
    """Analyse one span and write its files; yields after each of its frames."""
    size = perception_size(video)
    factors = np.array([video.width / size[0], video.height / size[1], video.width / size[0], 1], np.float32)
    first = max(0, span.start - warmup)
    detector.reset()
    find_cut, camera, smooth = CutFinder(video.rate), CameraTracker(), MatteSmoother()
    joints = np.full((len(span), JOINTS, 4), np.nan, np.float32)
    path_of_camera = np.empty((len(span), 3, 3))
    light = np.empty((len(span), GRID[1], GRID[0], 4), np.uint8)
    cuts: list[int] = []
    origin = np.eye(3)
    with MatteWriter(matte_path, size, video.rate) as writer:
        frames = read_frames(path, video, Span(0, first, span.stop), size=size)
        for number, rgb in enumerate(frames, first):
            cut = find_cut(rgb)
            if cut:
                detector.reset()
                smooth.reset()
            pose = detector.find(rgb)
            moved = camera(rgb, pose.mask if pose else None, cut)
            matte = _matte(rgb, pose, smooth)
            if number < span.start:
                # Ends as the frame just before the piece: the one to which the camera is told.
                origin = np.linalg.inv(moved)
                continue
            if cut:
                cuts.append(number)
            if pose is not None:
                joints[number - span.start] = pose.joints * factors
            path_of_camera[number - span.start] = origin @ moved
            light[number - span.start] = light_of(rgb, matte)
            writer.write(matte, np.zeros_like(matte))
            yield
    Piece(span.start, joints, np.array(cuts, np.int64), path_of_camera, size, light).save(piece_path)


def _matte(rgb: NDArray[np.uint8], pose: Pose | None, smooth: MatteSmoother) -> NDArray[np.uint8]:
    """The frame's matte, 0-255; black where nobody was found."""
    if pose is None:
        smooth.reset()
        return np.zeros(rgb.shape[:2], np.uint8)
    matte = smooth(rgb, refine(rgb, pose.mask, pose.joints))
    return np.asarray(np.rint(matte * 255), np.uint8)
