"""Traces of runs, over all programs that take part, for OpenTelemetry: where `[tracing]` asks for them, and free otherwise.

    backup.due, control.call ─┬ backup.place
                              └ request.publish ─▶ backup.run ┬ backup.plan                           (the agent's)
                                                              ├ artifact.upload ┬ artifact.dump
                                                              │                 └ ask.open, ask.close (the coordinator's)
                                                              └ report.publish ─▶ report.handle ┬ manifest.write
      `traceparent` in the headers of every message                                             ├ event.publish
                                                                                                └ retention.apply

Which traces are made is a matter of the context of a task, like the current span, so two coordinators in one process do not
meet.  Source: W3C Trace Context, `traceparent`; CloudEvents, "Distributed tracing extension".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog

from contracts.errors import InvalidInput, StrongroomError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span as OtelSpan

log = structlog.get_logger()

TRACEPARENT: Final = "traceparent"
_TRACES_PATH: Final = "/v1/traces"
_EXPORT_S: Final = 5.0
_TOLD_APART_S: Final = 60.0

Value = str | bool | int | float


class TracingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tracing]`; needs the extra `otel`.  What a collector asks for goes into `OTEL_EXPORTER_OTLP_HEADERS`."""

    otlp_endpoint: str
    """Of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is added if need be."""
    sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """Which part of all traces is made; whoever began one decides for all that take part."""

    def __post_init__(self) -> None:
        if urlsplit(self.otlp_endpoint).scheme not in ("http", "https"):
            raise InvalidInput(
                "config.invalid",
                f"otlp_endpoint {self.otlp_endpoint!r} must begin with http:// or https://",
                field="tracing.otlp_endpoint",
            )


class SpanKind(StrEnum):
    """What a span is to others; the names are OpenTelemetry's."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span:
    """A stretch of time in a trace; this one is not recorded."""

    def set(self, **attributes: Value) -> None:
        """Attributes that are known only now; `size_bytes=1` becomes `strongroom.size_bytes`."""


class _Recorded(Span):
    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    def set(self, **attributes: Value) -> None:
        self._span.set_attributes(_named(attributes))


class _Tracing:
    """The library, imported because somebody asked for it."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.context = context
        self.trace = trace
        self.tracer = provider.get_tracer("strongroom")
        self._propagator = TraceContextTextMapPropagator()

    @property
    def is_within(self) -> bool:
        return self.trace.get_current_span().get_span_context().is_valid

    def extract(self, headers: Mapping[str, str]) -> Context:
        return self._propagator.extract(headers)

    def inject(self, headers: dict[str, str]) -> None:
        self._propagator.inject(headers)

    @contextmanager
    def span(self, name: str, kind: SpanKind, since_ns: int | None, attributes: Mapping[str, Value]) -> Iterator[Span]:
        with self.tracer.start_as_current_span(
            name,
            kind=self.trace.SpanKind[kind],
            attributes=_named(attributes),
            start_time=since_ns,
            # The library would record tracebacks, which may show what no trace shall have.
            record_exception=False,
            set_status_on_exception=False,
        ) as started:
            try:
                yield _Recorded(started)
            except StrongroomError as exc:
                self.mark_failed(exc.code, exc.message)
                raise
            except Exception as exc:
                self.mark_failed(type(exc).__name__, "")
                raise

    def mark_failed(self, code: str, message: str) -> None:
        current = self.trace.get_current_span()
        current.set_attribute("error.type", code)
        current.set_status(self.trace.StatusCode.ERROR, message or None)


_tracing: ContextVar[_Tracing | None] = ContextVar("strongroom_tracing", default=None)
_NOT_RECORDED: Final = Span()


@contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    since: datetime | None = None,
    within: bool = False,
    **attributes: Value,
) -> Iterator[Span]:
    """The block as a span below the current one.

    `since`: it began earlier.  `within`: only as a part of a trace, never as one of its own.
    """
    tracing = _tracing.get()
    if tracing is None or (within and not tracing.is_within):
        yield _NOT_RECORDED
        return
    since_ns = int(since.timestamp() * 1e9) if since is not None else None
    with tracing.span(name, kind, since_ns, attributes) as started:
        yield started


@contextmanager
def continued(headers: Mapping[str, str] | None) -> Iterator[None]:
    """In the block, spans go on with the trace that a message or request came with; without one, nothing changes."""
    tracing = _tracing.get()
    if tracing is None or not headers or TRACEPARENT not in headers:
        yield
        return
    token = tracing.context.attach(tracing.extract(headers))
    try:
        yield
    finally:
        tracing.context.detach(token)


def mark_failed(code: str, message: str) -> None:
    """The current span stands for something that failed, though no error leaves it."""
    tracing = _tracing.get()
    if tracing is not None:
        tracing.mark_failed(code, message)


def carry(headers: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """The headers, with the current span for whoever takes the message up; None when there are none at all."""
    carried = dict(headers or {})
    tracing = _tracing.get()
    if tracing is not None:
        tracing.inject(carried)
    return carried or None


@asynccontextmanager
async def tracing(settings: TracingSettings | None, *, program: str, version: str, instance: str) -> AsyncIterator[None]:
    """Makes traces of what this task and those that it starts do, until the block is left.

    Raises: InvalidInput `config.invalid` where the extra `otel` is not installed.
    """
    if settings is None:
        yield
        return
    provider = _provider(settings, program=program, version=version, instance=instance)
    token = _tracing.set(_Tracing(provider))
    try:
        yield
    finally:
        _tracing.reset(token)
        # What waits is sent; a collector that is away holds nobody up for long.
        await asyncio.to_thread(provider.shutdown)


def _provider(settings: TracingSettings, *, program: str, version: str, instance: str) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as exc:
        raise InvalidInput(
            "config.invalid",
            "[tracing] needs OpenTelemetry, which is not installed: `pip install 'strongroom[otel]'`, or remove the section",
            field="tracing",
        ) from exc
    endpoint = settings.otlp_endpoint.rstrip("/")
    if not endpoint.endswith(_TRACES_PATH):
        endpoint += _TRACES_PATH
    resource = Resource.create(
        {
            "service.name": program,
            "service.version": version,
            "service.instance.id": instance,
            "service.namespace": "strongroom",
        }
    )
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)), resource=resource, shutdown_on_exit=False
    )
    exporter: Any = _Telling(OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_S), endpoint)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class _Telling:
    """A `SpanExporter` that says when traces are lost: the library's own log lines go nowhere here."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._told_at_s = -_TOLD_APART_S

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result.name != "SUCCESS" and time.monotonic() - self._told_at_s >= _TOLD_APART_S:
            self._told_at_s = time.monotonic()
            log.warning("traces.lost", endpoint=self._endpoint, spans=len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"strongroom.{name}": value for name, value in attributes.items()}
