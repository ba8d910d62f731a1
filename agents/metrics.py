"""`/metrics` of an agent, where `[metrics]` of its settings asks for it; needs the extra `metrics`.

Imported only then: an agent without it has neither the client library nor a server in its memory.  Series: some twenty of
each service of this host, and of the process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog
from nats.aio.client import Client

from agents.datapath.meter import TransferMeter
from agents.figures import Figures, Work
from agents.settings import MetricsSettings
from contracts.errors import InvalidInput
from contracts.records import EngineHealth, RunKind

try:
    from aiohttp import web
    from prometheus_client import CollectorRegistry, Metric, PlatformCollector, ProcessCollector
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector
except ImportError as exc:
    raise InvalidInput(
        "config.invalid",
        "[metrics] needs the package prometheus-client, which is not installed: `pip install 'strongroom[metrics]'`, or "
        "remove the section",
        field="metrics",
    ) from exc

if TYPE_CHECKING:
    from agents.datapath.staging import Staging

log = structlog.get_logger()

_OF: Final = ("project", "service")


class AgentCollector(Collector):
    """Reads the agent's parts where they are, at the moment of the scrape."""

    def __init__(
        self,
        *,
        node: str,
        version: str,
        figures: Figures,
        health: Callable[[], Mapping[str, EngineHealth]],
        running: Callable[[], int],
        staging: Staging,
        client: Client,
        bus_errors: Callable[[], int],
    ) -> None:
        self._info = {"node": node, "version": version}
        self._figures = figures
        self._health = health
        self._running = running
        self._staging = staging
        self._client = client
        self._bus_errors = bus_errors

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("strongroom_agent", "The agent that answers.", value=self._info)
        yield from self._of_runs()
        yield from self._of_bytes()
        yield from self._of_engines()
        yield from self._of_process()

    def _works(self) -> Iterator[tuple[RunKind, tuple[str, str], Work]]:
        for (kind, service), work in sorted(self._figures.works.items()):
            project, _, name = service.partition("/")
            yield kind, (project, name), work

    def _of_runs(self) -> Iterator[Metric]:
        runs = CounterMetricFamily(
            "strongroom_agent_runs",
            "Runs that ended here; dropped ones were given up without a word to the coordinator.",
            labels=("kind", *_OF, "outcome"),
        )
        succeeded = _of_backups("success", "1 where the last backup of the service here completed, 0 where it failed.")
        ended = _of_backups("end_timestamp_seconds", "When that was.")
        lasted = _of_backups("duration_seconds", "How long it took.")
        good = GaugeMetricFamily(
            "strongroom_agent_last_completed_backup_timestamp_seconds",
            "When the last backup that completed here ended, since this agent began.",
            labels=_OF,
        )
        for kind, of, work in self._works():
            for outcome, count in work.counts.items():
                runs.add_metric((kind, *of, outcome), count)
            if kind is not RunKind.BACKUP:
                continue
            if work.last is not None:
                succeeded.add_metric(of, work.last.completed)
                ended.add_metric(of, work.last.ended_at_s)
                lasted.add_metric(of, work.last.elapsed_s)
            if work.last_completed_at_s is not None:
                good.add_metric(of, work.last_completed_at_s)
        yield from (runs, succeeded, ended, lasted, good)

    def _of_bytes(self) -> Iterator[Metric]:
        figures: tuple[tuple[str, str, Callable[[TransferMeter], int]], ...] = (
            ("native_bytes", "Native bytes read from engines; of restores, given to them.", lambda of: of.plain_bytes),
            ("compressed_bytes", "What that was compressed to, before it was encrypted.", lambda of: of.compressed_bytes),
            ("stored_bytes", "Bytes that the store confirmed; of restores, received.", lambda of: of.stored_bytes),
            ("parts", "Parts that the store confirmed.", lambda of: of.parts),
            ("spooled_parts", "Parts that waited on the disk for the store.", lambda of: of.spooled_parts),
            ("retries", "Further tries of requests to the store.", lambda of: of.retries),
        )
        works = [(kind, of, work.moved) for kind, of, work in self._works()]
        for name, help_, value in figures:
            family = CounterMetricFamily(f"strongroom_agent_{name}", help_, labels=("kind", *_OF))
            for kind, of, moved in works:
                family.add_metric((kind, *of), value(moved))
            yield family

    def _of_engines(self) -> Iterator[Metric]:
        reachable = GaugeMetricFamily(
            "strongroom_agent_engine_reachable", "1 where the engine answered when it was looked at last.", labels=_OF
        )
        lag = GaugeMetricFamily(
            "strongroom_agent_engine_lag_seconds", "How far a replica is behind its primary.", labels=_OF
        )
        for service, health in sorted(self._health().items()):
            project, _, name = service.partition("/")
            reachable.add_metric((project, name), health.reachable)
            if health.lag_s is not None:
                lag.add_metric((project, name), health.lag_s)
        yield from (reachable, lag)

    def _of_process(self) -> Iterator[Metric]:
        def gauge(name: str, help_: str, value: float) -> Metric:
            return GaugeMetricFamily(f"strongroom_agent_{name}", help_, value=value)

        yield gauge("runs_in_progress", "Runs being worked on.", self._running())
        yield gauge("spool_bytes", "Encrypted parts on the disk that wait for the store.", self._staging.spooled_bytes)
        yield gauge("staged_bytes", "Encrypted parts in memory and on the disk.", self._staging.used_bytes)
        yield gauge("nats_connected", "1 while the connection to the NATS server stands.", self._client.is_connected)
        yield CounterMetricFamily(
            "strongroom_agent_nats_reconnects",
            "How often the connection had to be made anew.",
            value=self._client.stats["reconnects"],
        )
        yield CounterMetricFamily(
            "strongroom_agent_nats_errors", "Errors that the NATS connection reported.", value=self._bus_errors()
        )


def _of_backups(name: str, help_: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"strongroom_agent_last_backup_{name}", help_, labels=_OF)


@asynccontextmanager
async def serve_metrics(settings: MetricsSettings, collector: AgentCollector) -> AsyncIterator[str]:
    """Listens until the block is left; yields the URL.  Raises: InvalidInput `config.invalid` when it cannot."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(collector)

    async def answer(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as exc:
            raise InvalidInput(
                "config.invalid",
                f"the agent cannot listen on {settings.host} port {settings.port}: {exc.strerror or exc}; choose another "
                "port, or stop what uses it",
                field="metrics.port",
            ) from exc
        host, port = runner.addresses[0][:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        log.info("metrics.listening", url=url)
        yield url
    finally:
        await runner.cleanup()
