"""How fast the ingress takes renders, beside its probes alone, and how fast it shows them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from renderfarm import accounts, credits, listing
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import ROOT, Ground
from renderfarm.trial.load import Load, Spec

CONNECTIONS = 32
_WARM = 1.0
_CREDITS = 10_000_000
_BOUNDARY = "between-the-parts"
#: Loops of bare probes in each of as many processes as there are cores: more of them are no faster.
_LOOPS = 2


@dataclass(frozen=True, slots=True)
class Ingress:
    """What was measured. ``share`` is POST/s over the probes/s of a bare loop, in the median round."""

    share: float
    post: list[Load]
    probes_per_second: list[float]
    get: list[Load]

    def to_json(self) -> dict[str, Any]:
        """The figures, flat; of several rounds the median, of what must not happen the sum."""
        posts, gets = self.post, self.get
        return {
            "post_share_of_bare_probes": round(self.share, 3),
            "post_per_second": median(load.rate for load in posts),
            "probes_per_second": median(self.probes_per_second),
            "post_p50_ms": median(load.p50_ms for load in posts),
            "post_p99_ms": max(load.p99_ms for load in posts),
            "post_errors": sum(load.errors for load in posts),
            "get_per_second": median(load.rate for load in gets),
            "get_p50_ms": median(load.p50_ms for load in gets),
            "get_p99_ms": max(load.p99_ms for load in gets),
            "get_errors": sum(load.errors for load in gets),
        }


def measure(
    ground: Ground,
    picture: Path | None = None,
    clip: Path | None = None,
    *,
    rounds: int = 3,
    seconds: float = 4.0,
    connections: int = CONNECTIONS,
) -> Ingress:
    """Load gunicorn's ingress over a real database and a store, round by round beside the bare probes.

    ``picture`` and ``clip`` are sent as they are: the samples' picture, and the first second of their
    driver, unless told. Takes some ``rounds * (3 * seconds + 5)`` seconds.
    """
    with Farm.open(ground, workers={}, dispatchers=0, api=True) as farm:
        picture = picture or ROOT / "samples" / "character.png"
        clip = clip or first_second(ROOT / "samples" / "driver.mp4", farm.folder / "second.mp4")
        secret = _rich_key(farm)
        port = int(farm.settings.public_url.rpartition(":")[2])
        order = farm.folder / "order"
        order.write_bytes(_order(secret, picture, clip))
        store = _stored(farm.folder / "bare", picture, clip)
        post, bare, get = [], [], []
        for _ in range(rounds):
            bare.append(_probes(store, seconds))
            post.append(load(Spec(port, connections, _WARM, seconds, [str(order)])))
            asked = _questions(farm, farm.folder / "questions")
            get.append(load(Spec(port, connections, _WARM, seconds, asked)))
        share = median(load.rate / probes for load, probes in zip(post, bare, strict=True))
        return Ingress(share, post, bare, get)


def first_second(video: Path, target: Path) -> Path:
    """The first second of a video, picture and sound as they are."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(video), "-t", "1", "-c", "copy"]
    subprocess.run([*command, str(target)], check=True, capture_output=True)
    return target


def _rich_key(farm: Farm) -> str:
    with farm.database.begin() as session:
        credits.grant(session, farm.account_id, _CREDITS)
        return accounts.create_key(session, farm.account_id)[1]


def _order(secret: str, picture: Path, clip: Path) -> bytes:
    """A whole POST of the two files."""
    body = b""
    for name, path in (("ref_image", picture), ("driving_video", clip)):
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"'
        body += f"{head}\r\n\r\n".encode() + path.read_bytes() + b"\r\n"
    body += f"--{_BOUNDARY}--\r\n".encode()
    head = (
        f"POST /api/render HTTP/1.1\r\nHost: farm\r\nAuthorization: Bearer {secret}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _questions(farm: Farm, folder: Path) -> list[str]:
    """A GET for each of some of the farm's jobs."""

    folder.mkdir(exist_ok=True)
    with farm.database.begin() as session:
        ids = [job.id for job in listing.list_jobs(session, farm.account_id, limit=64)]
    for job_id in ids:
        (folder / job_id).write_text(f"GET /api/render/{job_id} HTTP/1.1\r\nHost: farm\r\n\r\n")
    return [str(folder / job_id) for job_id in ids]


def _stored(store: Path, picture: Path, clip: Path) -> Path:
    """A folder as a store, with the two files for each loop that judges them."""
    store.mkdir()
    for number in range(_LOOPS):
        shutil.copyfile(picture, store / f"picture-{number}")
        shutil.copyfile(clip, store / f"video-{number}")
    return store


def _probes(store: Path, seconds: float) -> float:
    """Probes a second of bare loops over all cores."""
    arguments = ["renderfarm.trial.probes", str(store), str(_LOOPS), str(seconds)]
    running = [_start(arguments) for _ in range(os.cpu_count() or 1)]
    return sum(float(_output(each)) for each in running)


def load(spec: Spec) -> Load:
    """Send the load from a process of its own."""
    return Load(**json.loads(_output(_start(["renderfarm.trial.load", json.dumps(asdict(spec))]))))


def _start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _output(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=180)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, process.args))} failed")  # type: ignore[arg-type]
    return out
