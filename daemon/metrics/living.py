"""What a coordinator is doing at the moment of the scrape: which loops it leads, how its bus and its schedule stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nats.aio.client import Client
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.lease import Lease
from daemon.scheduler import Scheduler


class Living(Collector):
    """Reads the parts where they are; nothing is counted twice."""

    def __init__(self, client: Client, leases: Sequence[Lease], scheduler: Scheduler) -> None:
        self._client = client
        self._leases = leases
        self._scheduler = scheduler

    def describe(self) -> list[Metric]:
        return []  # names are checked at the scrape: asking here would read parts that are not yet running

    def collect(self) -> Iterator[Metric]:
        yield from self._of_loops()
        yield from self._of_bus()

    def _of_loops(self) -> Iterator[Metric]:
        held = GaugeMetricFamily(
            "strongroom_lease_held",
            "1 while this coordinator leads a loop that only one may lead; the sum over all of them is 1.",
            labels=("lease",),
        )
        for lease in self._leases:
            held.add_metric((lease.name,), lease.is_held)
        yield held
        yield GaugeMetricFamily(
            "strongroom_scheduler_services",
            "Services that the scheduler watches; 0 where another coordinator leads it.",
            value=self._scheduler.watched,
        )
        yield GaugeMetricFamily(
            "strongroom_scheduler_lag_seconds",
            "How long the oldest due time waits that led to nothing yet; 0 where nothing is late.",
            value=self._scheduler.lag_s(),
        )

    def _of_bus(self) -> Iterator[Metric]:
        stats = self._client.stats
        yield GaugeMetricFamily(
            "strongroom_nats_connected",
            "1 while the connection to the NATS server stands.",
            value=self._client.is_connected,
        )
        yield CounterMetricFamily(
            "strongroom_nats_reconnects", "How often the connection had to be made anew.", value=stats["reconnects"]
        )
        for direction, word in (("in", "received"), ("out", "sent")):
            yield CounterMetricFamily(
                f"strongroom_nats_{word}_messages", f"NATS messages {word}.", value=stats[f"{direction}_msgs"]
            )
            yield CounterMetricFamily(f"strongroom_nats_{word}_bytes", f"Bytes {word}.", value=stats[f"{direction}_bytes"])
