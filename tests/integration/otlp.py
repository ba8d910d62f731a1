"""A collector of traces: takes OTLP over HTTP as any collector does, and keeps what it was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp.web as web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


@dataclass(frozen=True)
class Received:
    """A span, and which program sent it."""

    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    program: str
    kind: int
    status: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str]


@dataclass
class Collector:
    url: str = ""
    spans: list[Received] = field(default_factory=list)

    def trace_of(self, run_id: str) -> list[Received]:
        """All spans of the traces in which a span bears the run's id."""
        ids = {span.trace_id for span in self.spans if span.attributes.get("strongroom.run_id") == run_id}
        return [span for span in self.spans if span.trace_id in ids]

    async def take(self, request: web.Request) -> web.Response:
        assert request.headers["Content-Type"] == "application/x-protobuf"
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            of = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            for scope in resource.scope_spans:
                for each in scope.spans:
                    self.spans.append(
                        Received(
                            name=each.name,
                            trace_id=each.trace_id,
                            span_id=each.span_id,
                            parent_id=each.parent_span_id,
                            program=of["service.name"],
                            kind=each.kind,
                            status=each.status.code,
                            start_ns=each.start_time_unix_nano,
                            end_ns=each.end_time_unix_nano,
                            attributes={
                                attribute.key: str(getattr(attribute.value, attribute.value.WhichOneof("value")))
                                for attribute in each.attributes
                            },
                        )
                    )
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")


@asynccontextmanager
async def otlp_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()
