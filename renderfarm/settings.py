"""Every setting of the farm, read once at each entry point and passed in.

Nothing reads the environment at import. Each field's variable is its name in capitals, with the
prefix ``FARM_`` unless it is one that deployments share (``DATABASE_URL``, ``REDIS_URL``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Self, get_type_hints

from pipeline.choice import engine_of
from pipeline.spec import EngineId, Model
from renderfarm.crash import Armed

_SHARED = {
    "database_url": "DATABASE_URL",
    "redis_url": "REDIS_URL",
    "engine_v3": "ENGINE_V3",
    "engine_v4": "ENGINE_V4",
}
_PORTS = re.compile(r"\s*[0-9]{1,5}\s*(,\s*[0-9]{1,5}\s*)*")
_SERVER = re.compile(r"([0-9.]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")
#: No file is kept for longer, in days.
_CENTURY = 36_525
_FORMATS = ("text", "json")
_BOOLS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class SettingsError(Exception):
    """A setting is missing or cannot be read; the message names its variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The farm's settings, with defaults that suit one machine."""

    #: PostgreSQL, as ``postgresql://user:password@host:port/name``.
    database_url: str = field(repr=False)
    #: The broker, as ``redis://host:port/0``. Needed by the dispatcher and the workers only.
    redis_url: str = field(default="", repr=False)
    #: ``file:///folder`` or ``s3://bucket`` (see ``renderfarm.storage``).
    storage_url: str = ""
    #: Of an S3 store that is not AWS, and its credentials where the machine has none of its own.
    s3_endpoint: str = ""
    #: Where that store is reached from outside, if not there: what is signed for others (parts of uploads,
    #: presigned links) is signed for this address, which has no path of its own. Empty: the endpoint.
    s3_public_endpoint: str = ""
    s3_region: str = "us-east-1"
    s3_access_key: str = field(default="", repr=False)
    s3_secret_key: str = field(default="", repr=False)
    #: How browsers fetch finished files (see ``renderfarm.cdn``): ``public``, ``secure-link``, ``presigned``
    #: or ``cloudfront``. Empty: under ``cdn_base`` if there is one, else from the API's own ``/files``
    #: (FileStore) or by presigned addresses (S3Store).
    cdn_style: str = ""
    #: What their addresses begin with.
    cdn_base: str = ""
    #: What nginx's secure links are signed with; CloudFront's key pair, the private half in PEM.
    cdn_secret: str = field(default="", repr=False)
    cdn_key_id: str = ""
    cdn_private_key: str = field(default="", repr=False)
    #: How long a signed address is good for.
    cdn_seconds: int = 24 * 3600
    #: The caches that forget what is deleted: nginx with our configuration, each by its own address with
    #: commas between, and the secret that they know; the id of a distribution of CloudFront.
    cdn_purge_urls: str = ""
    cdn_purge_secret: str = field(default="", repr=False)
    cdn_distribution: str = ""
    #: Where the API is reached from outside, without a slash at the end.
    public_url: str = "http://127.0.0.1:8080"
    #: Scratch space of workers; emptied unit by unit.
    work_dir: Path = Path(".farm/work")

    #: Whether this is a farm to develop and to measure with; only such a one takes what follows.
    development: bool = False
    #: Instead of the model's own engine: ``fixed:ms=200`` takes 200 ms a frame and no processor,
    #: ``,mark=b`` tints its picture (see ``pipeline.choice``).
    engine_v3: str = ""
    engine_v4: str = ""

    #: Limits of what comes in.
    max_upload_mb: int = 500
    max_seconds: int = 300
    min_seconds: float = 0.5
    min_side: int = 64
    max_side: int = 4096
    #: How long a peer may be silent in the middle of a request, or read nothing of its answer.
    silence_seconds: int = 30
    #: Bytes a second below which a body is not waited for, once it has been waited for that long.
    slowest_upload: int = 16_384

    #: What is fetched from, and posted to, where users give an address (see ``renderfarm.fetch``):
    #: the ports, and on a farm to develop with also this machine itself (127.0.0.1 and ::1).
    fetch_ports: str = "80,443"
    fetch_private: bool = False
    #: Who is asked for names, as ``address:port``; empty: whom the machine asks.
    fetch_resolver: str = ""
    #: How long a host may take to be reached, may then be silent, and may take for everything, in seconds.
    fetch_connect_seconds: float = 5.0
    fetch_silence_seconds: float = 10.0
    fetch_seconds: float = 300.0
    #: Bytes a second below which a host is given up, once it has had its silence: others wait.
    fetch_slowest: int = 65_536

    #: How often one may ask, as ``600/minute``: each key, each address, and each key for something to be
    #: made. Counted where there is a ``redis_url``.
    rate_limit_key: str = "6000/minute"
    rate_limit_address: str = "12000/minute"
    rate_limit_render: str = "1200/minute"
    #: Proxies in front of the API that say in ``X-Forwarded-For`` for whom they ask; 0: nobody is believed.
    trusted_proxies: int = 0
    #: ``package.module:callable`` that may refuse what is asked for (``renderfarm.moderation``), how long it
    #: may take, and whether everything is allowed while it fails.
    moderation: str = ""
    moderation_seconds: float = 5.0
    moderation_fails_open: bool = False

    #: Processes of the ingress on one machine.
    api_processes: int = 2
    #: Streams of events that one of them keeps open at once, for how long each, and how often their jobs are
    #: looked at, in seconds. A stream holds a thread: each process has so many besides the 16 that it
    #: always keeps for everything else (``api.gunicorn_conf``).
    event_streams: int = 64
    event_stream_seconds: float = 600.0
    event_look_seconds: float = 1.0
    #: Uploads that they probe at once, all together, and how long one waits for its turn, in seconds.
    probes_at_once: int = 4
    probe_wait_seconds: float = 60.0

    #: The protocol's clock, in seconds.
    lease_seconds: float = 6.0
    sweep_seconds: float = 1.0
    heartbeat_seconds: float = 1.0
    stall_seconds: float = 60.0
    setup_seconds: float = 600.0
    republish_seconds: float = 10.0
    retry_seconds: float = 2.0
    #: How long a worker that is asked to stop may still draw to finish the piece or segment in hand.
    drain_seconds: float = 8.0
    max_attempts: int = 4
    queue_deadline_seconds: float = 6 * 3600.0
    run_deadline_seconds: float = 6 * 3600.0
    #: Units of one account's normal jobs that may run at once.
    account_running_cap: int = 4
    #: The share of a pool that units of fast jobs may have while others wait.
    fast_share: float = 0.5
    #: How long a unit waits for a worker of its versions before its job is planned anew for those there are.
    replan_seconds: float = 120.0
    #: How long a file that nothing claims is kept.
    garbage_seconds: float = 3600.0
    #: For how many days after its end a render keeps what it has made, and what it was made of; 0: for good.
    #: Saved characters and scenes keep theirs in any case, until they are deleted.
    keep_outputs_days: float = 0.0
    keep_uploads_days: float = 0.0
    #: How long an answer is given again under its ``Idempotency-Key``; 24 hours are promised.
    idempotency_seconds: float = 25 * 3600.0
    #: How long a request that says nothing of itself keeps its ``Idempotency-Key``: its process died.
    idempotency_lease_seconds: float = 120.0

    #: How long a file that is sent by itself may take, and wait to be used.
    upload_seconds: float = 6 * 3600.0
    #: What one account may have of them at once that no job has taken: files, and megabytes.
    account_uploads: int = 32
    account_upload_mb: int = 4000
    #: Webhooks that a courier sends at once, and for how long a receiver may keep one waiting, in seconds.
    webhooks_at_once: int = 16
    webhook_timeout_seconds: float = 15.0
    #: How long a courier has a webhook in hand before another one takes it over; longer than the timeout.
    webhook_lease_seconds: float = 60.0
    #: What the waits between attempts are multiplied by; at 1 they are a day in all.
    webhook_patience: float = 1.0
    #: How long a secret that was changed for another still signs beside it.
    webhook_rotation_seconds: float = 24 * 3600.0
    #: How long the log of deliveries is kept.
    webhook_log_seconds: float = 30 * 24 * 3600.0
    #: What an account may have for nothing in 24 hours: preprocessed characters and scenes, so many of them
    #: at once, and renders cancelled after they had begun.
    free_preprocess_per_day: int = 50
    free_preprocess_open: int = 10
    free_cancels_per_day: int = 20
    #: Whether a job is shown to its account's keys alone; else to whoever knows its id, which none can guess.
    status_needs_key: bool = False

    #: On Kubernetes, the workers' pods as a label selector: the dispatcher tells the cluster which of them
    #: are busy (``renderfarm.kubernetes``). Empty: nobody is told.
    kubernetes_pods: str = ""
    #: The API of the cluster, and the folder with ``token``, ``ca.crt`` and ``namespace`` of the account.
    kubernetes_api: str = "https://kubernetes.default.svc"
    kubernetes_account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")

    #: Where the processes show their metrics; 0: not at all.
    metrics_port: int = 0
    #: The address they listen on for that; ``0.0.0.0`` where a scraper comes from another machine.
    metrics_host: str = "127.0.0.1"
    log_level: str = "INFO"
    #: ``text``, a line for people, or ``json``, an object a line for machines (``renderfarm.logs``).
    log_format: str = "text"
    #: Where traces go by OTLP over HTTP, as ``http://collector:4318``; empty: nothing is traced.
    otlp_endpoint: str = ""
    #: Where a process is to die, in a trial of what the farm loses by it (see ``renderfarm.crash``).
    crash_at: Armed = field(default_factory=Armed)

    def __post_init__(self) -> None:
        for model, text in self._engines().items():
            variable = variable_of(f"engine_{model.name.lower()}")
            if text and not self.development:
                raise SettingsError(
                    f"{variable}={text!r} is for development: unset it, or set FARM_DEVELOPMENT=1"
                )
            try:
                engine_of(model, text)
            except ValueError as error:
                raise SettingsError(f"{variable}={text!r}: {error}") from error

        if self.log_format not in _FORMATS:
            raise SettingsError(f"FARM_LOG_FORMAT={self.log_format!r} is neither text nor json")
        if self.otlp_endpoint and not _can_trace():
            raise SettingsError("FARM_OTLP_ENDPOINT needs the extra `otel`: pip install 'renderfarm[otel]'")
        if self.fetch_private and not self.development:
            raise SettingsError("FARM_FETCH_PRIVATE is for development: unset it, or set FARM_DEVELOPMENT=1")
        if not _PORTS.fullmatch(self.fetch_ports):
            raise SettingsError(f"FARM_FETCH_PORTS={self.fetch_ports!r} are not ports such as 80,443")
        if self.fetch_resolver and not _SERVER.fullmatch(self.fetch_resolver):
            raise SettingsError(f"FARM_FETCH_RESOLVER={self.fetch_resolver!r} is not an address:port")
        for name in ("keep_outputs_days", "keep_uploads_days"):
            if not 0 <= getattr(self, name) <= _CENTURY:
                raise SettingsError(f"{variable_of(name)}={getattr(self, name)} is not a number of days")

    @property
    def secrets(self) -> tuple[str, ...]:
        """Those that nothing about them gives away: logs are searched for them."""
        return (self.s3_secret_key, self.cdn_secret, self.cdn_purge_secret)

    @property
    def fetched_ports(self) -> frozenset[int]:
        """The ports of addresses that users give."""
        return frozenset(int(port) for port in self.fetch_ports.split(","))

    def engine_of(self, model: Model) -> EngineId:
        """What draws the model's pictures on this farm: what new jobs are pinned to."""
        return engine_of(model, self._engines()[model])

    def _engines(self) -> dict[Model, str]:
        return {Model.V3: self.engine_v3, Model.V4: self.engine_v4}

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the environment; raises ``SettingsError`` that names what is missing or wrong."""
        environ = os.environ if environ is None else environ
        kinds = get_type_hints(cls)
        values: dict[str, object] = {}
        for each in fields(cls):
            variable = variable_of(each.name)
            raw = environ.get(variable, "").strip()
            if not raw:
                continue
            try:
                values[each.name] = _BOOLS[raw.lower()] if kinds[each.name] is bool else kinds[each.name](raw)
            except (ValueError, KeyError) as error:
                raise SettingsError(f"{variable}={raw!r} is not a {kinds[each.name].__name__}") from error
        if "database_url" not in values:
            raise SettingsError("DATABASE_URL is not set; `farm up` sets it, or give your own")
        return cls(**values)  # type: ignore[arg-type]  # each value was made by its field's type


def _can_trace() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    return _SHARED.get(field, f"FARM_{field.upper()}")
