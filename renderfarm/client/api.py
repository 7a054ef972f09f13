"""One account's way to one farm, over HTTP."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, cast
from urllib.parse import urlsplit

from renderfarm.client.answers import (
    Accepted,
    Asset,
    AssetPage,
    Credits,
    Estimate,
    Job,
    JobPage,
    Preprocessing,
    Template,
)
from renderfarm.client.failures import ENDED, ClientError, Unreachable, error_of, refusal
from renderfarm.client.streams import followed

if TYPE_CHECKING:
    import requests

_TIMEOUT = (10.0, 120.0)
#: How long a farm that restarts is waited for while a job is followed.
_PATIENCE = 60.0
_POLL = 0.4
_CHUNK = 1 << 20
#: A file that is larger is sent by itself, in parts: a form is put together in memory.
_LARGE = 32 << 20
_PART_TRIES = 3
#: By the name of the file's field: what is sent, and the field of an id.
_Sources = Mapping[str, tuple[Path | str | None, str]]
_ID = re.compile(r"(?:char|scene)_[a-z0-9]+")
_UPLOAD = re.compile(r"upl_[a-z0-9]+")


class Client:
    """One account's way to one farm."""

    def __init__(self, url: str, key: str = "") -> None:
        import requests

        self._url = url.rstrip("/")
        self._session = requests.Session()
        if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1"):
            self._session.trust_env = False  # no proxy stands between us and ourselves
        # Not the session's: a store or a CDN must not see the key, and S3 refuses a signed address with one.
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def submit(
        self,
        picture: Path | str | None,
        video: Path | str | None,
        fields: Mapping[str, str],
        idempotency_key: str = "",
    ) -> Accepted:
        """Send a render whose other fields are ``fields``; see ``render``."""
        sources: _Sources = {"ref_image": (picture, "character_id"), "driving_video": (video, "scene_id")}
        again = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return cast("Accepted", self._form("/api/render", sources, fields, again))

    def render(
        self,
        picture: Path | str | None = None,
        video: Path | str | None = None,
        *,
        mapping: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        **fields: str,
    ) -> Accepted:
        """Send a render.

        ``picture`` is a file, an address, an upload's id, or that of a ready character; ``video`` likewise,
        or the id of a ready scene, whose people become the characters that ``mapping`` names. ``fields`` are
        the form's others: ``model``, ``background_mode``, ``bg_color``, ``fast``, ``webhook_url``.
        """
        if mapping:
            fields["character_mapping"] = json.dumps(dict(mapping))
        return self.submit(picture, video, fields, idempotency_key)

    def upload(self, path: Path, kind: Literal["image", "video"]) -> str:
        """Send a file by itself, part by part; the id that stands for it in one order.

        A part that does not arrive is sent again; raises ``ClientError`` where one never does.
        """
        begun = self._json(
            "POST", "/api/uploads", json={"kind": kind, "size": path.stat().st_size, "filename": path.name}
        )
        with path.open("rb") as file:
            for part in begun["parts"]:
                self._part(part["url"], file.read(part["size"]))
        upload_id: str = begun["upload_id"]
        self._json("POST", f"/api/uploads/{upload_id}/complete")
        return upload_id

    def estimate(
        self,
        *,
        scene_id: str = "",
        duration_seconds: float = 0.0,
        fps: float = 30.0,
        model: str = "",
        fast: bool = False,
    ) -> Estimate:
        """What a render would cost, and when it would be there: of a ready scene, or of a video that long."""
        video = {"scene_id": scene_id} if scene_id else {"duration_seconds": duration_seconds, "fps": fps}
        asked = {**video, "model": model, "fast": fast}
        return cast("Estimate", self._json("POST", "/api/render/estimate", json=asked))

    def job(self, job_id: str) -> Job:
        """The job as it stands."""
        return cast("Job", self._json("GET", f"/api/render/{job_id}"))

    def page(self, status: str = "", limit: int = 20, cursor: str = "") -> JobPage:
        """A page of the account's jobs, newest first; ``cursor`` is what the page before has given."""
        asked = {"limit": str(limit), "status": status, "cursor": cursor}
        given = {name: value for name, value in asked.items() if value}
        return cast("JobPage", self._json("GET", "/api/render", params=given))

    def jobs(self, status: str = "", limit: int = 20) -> list[Job]:
        """The account's newest jobs."""
        return self.page(status, limit)["jobs"]

    def cancel(self, job_id: str) -> Job:
        """Stop the job and give its credits back."""
        return cast("Job", self._json("DELETE", f"/api/render/{job_id}"))

    def delete_files(self, job_id: str) -> None:
        """Remove what the job was made of and what it has made."""
        self._send("DELETE", f"{self._url}/api/render/{job_id}/files", headers=self._headers)

    def follow(self, job_id: str, every: float = _POLL) -> Iterator[Job]:
        """The job again and again, ``every`` so many seconds, to its end; outlasts a restart of the farm."""
        answered = time.monotonic()
        while True:
            try:
                job = self.job(job_id)
            except Unreachable:
                if time.monotonic() - answered > _PATIENCE:
                    raise
            else:
                answered = time.monotonic()
                yield job
                if job["status"] in ENDED:
                    return
            time.sleep(every)

    def events(self, job_id: str) -> Iterator[Job]:
        """The job now and whenever it changes, told by the farm, to its end; outlasts a restart of the farm.

        Raises ``ClientError`` where there is no stream of it, or none is free.
        """
        return followed(lambda last: self._events(job_id, last), _PATIENCE)

    def wait(self, job_id: str, every: float = _POLL) -> Job:
        """The job once it is complete; ``JobFailed`` where it ends otherwise.

        The farm tells; one that does not is asked ``every`` so many seconds.
        """
        try:
            *_, job = self.events(job_id)
        except ClientError:  # no stream is free, or none comes through: what else there is, asking tells
            *_, job = self.follow(job_id, every)
        if (error := error_of(job)) is not None:
            raise error
        return job

    def preprocess_character(self, name: str, image: Path | str) -> Preprocessing:
        """Send a character: a picture's file or address. It is free."""
        return cast(
            "Preprocessing",
            self._form("/api/characters/preprocess", {"image": (image, "")}, {"name": name}),
        )

    def preprocess_scene(self, name: str, video: Path | str, **fields: str) -> Preprocessing:
        """Send a scene: a video's file or address; ``fields`` are ``model`` and ``background_mode``. Free."""
        return cast(
            "Preprocessing",
            self._form("/api/scenes/preprocess", {"video": (video, "")}, {"name": name, **fields}),
        )

    def import_scene(self, template_id: str, name: str) -> dict[str, Any]:
        """Make a scene from a template."""
        return self._json("POST", "/api/scenes/import", json={"template_id": template_id, "name": name})

    def asset(self, asset_id: str) -> Asset:
        """The character or scene as it stands."""
        return cast("Asset", self._json("GET", f"/api/{_kind(asset_id)}/{asset_id}"))

    def assets(self, kind: Literal["characters", "scenes"], limit: int = 20, cursor: str = "") -> AssetPage:
        """A page of the account's characters or scenes, newest first."""
        given = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return cast("AssetPage", self._json("GET", f"/api/{kind}", params=given))

    def delete_asset(self, asset_id: str) -> None:
        """Let the character or scene go; jobs that use it go on."""
        self._send("DELETE", f"{self._url}/api/{_kind(asset_id)}/{asset_id}", headers=self._headers)

    def templates(self) -> list[Template]:
        """The scenes that the farm offers to all."""
        return cast("list[Template]", self._json("GET", "/api/templates")["templates"])

    def credits(self, limit: int = 20, cursor: str = "") -> Credits:
        """What the account has, and a page of its ledger, newest first."""
        given = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return cast("Credits", self._json("GET", "/api/credits", params=given))

    def download(self, url: str, path: Path, report: Callable[[int], None] = lambda _: None) -> None:
        """Fetch an output into ``path``, whole or not at all; ``report`` is told of each piece's bytes."""
        part = path.with_name(f".{path.name}.part")
        try:
            with self._send("GET", url, stream=True) as answer, part.open("wb") as file:
                for piece in answer.iter_content(_CHUNK):
                    report(file.write(piece))
            part.replace(path)
        except OSError as error:  # the disk's, or the connection's in the middle
            raise ClientError(f"{path} could not be fetched: {error}", f"It is still there: {url}") from error
        finally:
            if part.is_file():
                part.unlink()

    def _form(
        self,
        path: str,
        sources: _Sources,
        fields: Mapping[str, str],
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Post each source in the field that fits it: the file itself, its address, or what has that id."""
        form, files = dict(fields), {}
        with ExitStack() as stack:
            for name, (source, id_field) in sources.items():
                if isinstance(source, Path) and source.stat().st_size > _LARGE:
                    kind: Literal["image", "video"] = "image" if name.endswith("image") else "video"
                    form[f"{name}_upload_id"] = self.upload(source, kind)
                elif isinstance(source, Path):
                    files[name] = (source.name, stack.enter_context(source.open("rb")))
                elif source and _UPLOAD.fullmatch(source):
                    form[f"{name}_upload_id"] = source
                elif source:
                    form[id_field if _ID.fullmatch(source) and id_field else f"{name}_url"] = source
            return self._json("POST", path, data=form, files=files or None, more=headers)

    def _part(self, url: str, data: bytes) -> None:
        for left in reversed(range(_PART_TRIES)):
            try:
                self._send("PUT", url, data=data)
                return
            except Unreachable:
                if not left:
                    raise

    def _events(self, job_id: str, last: str) -> requests.Response:
        asked = {**self._headers, **({"Last-Event-ID": last} if last else {})}
        return self._send("GET", f"{self._url}/api/render/{job_id}/events", headers=asked, stream=True)

    def _json(
        self, method: str, path: str, *, more: Mapping[str, str] = MappingProxyType({}), **options: Any
    ) -> dict[str, Any]:
        answer = self._send(method, self._url + path, headers={**self._headers, **more}, **options)
        return cast("dict[str, Any]", answer.json())

    def _send(self, method: str, url: str, **options: Any) -> requests.Response:
        import requests

        try:
            answer = self._session.request(method, url, timeout=_TIMEOUT, **options)
        except requests.RequestException as error:
            raise Unreachable(
                f"The farm does not answer at {self._url}.", "Start it with `farm up`, or set FARM_API_URL."
            ) from error
        if not answer.ok:
            raise refusal(answer)
        return answer


def _kind(asset_id: str) -> str:
    return "characters" if asset_id.startswith("char_") else "scenes"
