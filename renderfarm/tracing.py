"""Traces: what a request brought about, over all processes, as spans of OpenTelemetry.

Off, and nothing of it imported, unless FARM_OTLP_ENDPOINT is set; then each process sends its spans there
by OTLP over HTTP. How a span's children in other processes find it: ``here`` goes into the job's row.
What the standard variables (OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, ...) say, holds.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from renderfarm import context
from renderfarm.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

#: The header, and the column, that name a span to its children (W3C Trace Context).
HEADER = "traceparent"
#: Seconds for which a collector may keep spans, or a process that wants to end, waiting.
_SECONDS = 5


class _Process:
    """Who gives this process its spans, if it is traced."""

    provider: TracerProvider | None = None


def start(settings: Settings, process: str) -> None:
    """Trace this process from now on, where the settings say so: after any fork, and no matter how often."""
    if not settings.otlp_endpoint or _Process.provider is not None:
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": f"renderfarm-{process}"})
    _Process.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _Process.provider.add_span_processor(BatchSpanProcessor(_exporter(settings.otlp_endpoint)))
    atexit.register(stop)


def stop() -> None:
    """Send what is left: for processes that end without Python's own farewell."""
    if _Process.provider is not None:
        _Process.provider.shutdown()  # type: ignore[no-untyped-call]
        _Process.provider = None


@contextmanager
def span(
    name: str,
    *,
    under: str | None = None,
    server: bool = False,
    since: datetime | None = None,
    **attributes: str | int | float | None,
) -> Iterator[Span | None]:
    """A span for as long as the block lasts, with what ``context`` knows; None where nothing is traced.

    Its parent is the one that ``under`` names (``here``, of another process), else the one around it.
    Of an error it says what kind it is: its message may hold what no collector should have.
    """
    if _Process.provider is None:
        yield None
        return
    from opentelemetry.trace import SpanKind, StatusCode

    known = {f"renderfarm.{key}": str(value) for key, value in context.current().items()}
    with _Process.provider.get_tracer("renderfarm").start_as_current_span(
        name,
        context=_context(under),
        kind=SpanKind.SERVER if server else SpanKind.INTERNAL,
        start_time=round(since.timestamp() * 1e9) if since else None,
        attributes={**known, **{key: value for key, value in attributes.items() if value is not None}},
        record_exception=False,
        set_status_on_exception=False,
    ) as begun:
        try:
            yield begun
        except BaseException as error:
            begun.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def here() -> str | None:
    """The name of the span around this, for what goes on elsewhere; None where there is none."""
    if _Process.provider is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(HEADER)


def _context(under: str | None) -> Any:
    if not under:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({HEADER: under})


def _exporter(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http import trace_exporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    class Exporter(trace_exporter.OTLPSpanExporter):
        """Tries twice, and complains once: the library's own way is a traceback every few seconds."""

        _MAX_RETRY_TIMEOUT = 2
        _complained = False

        def export(self, spans: Any) -> SpanExportResult:
            why = "it does not take them"
            try:
                result = super().export(spans)
            except Exception as error:
                result, why = SpanExportResult.FAILURE, type(error).__name__
            failed = result is not SpanExportResult.SUCCESS
            if failed and not self._complained:
                log.warning("spans are lost until %s answers: %s", endpoint, why)
            self._complained = failed
            return result

    logging.getLogger(trace_exporter.__name__).setLevel(logging.CRITICAL)
    return Exporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_SECONDS)
