"""All metrics of a coordinator as text, in the format that whoever scrapes asks for."""

from __future__ import annotations

import asyncio
import gzip
from typing import Final, NamedTuple

from prometheus_client.exposition import choose_encoder

from daemon.metrics.gauges import Gauge
from daemon.metrics.metrics import Metrics
from daemon.metrics.watch import FleetWatch

_END: Final = b"# EOF\n"
"""Of OpenMetrics; plain text just ends."""


class Scrape(NamedTuple):
    body: bytes
    content_type: str
    is_gzip: bool


async def scrape(metrics: Metrics, watch: FleetWatch, *, accept: str = "", accept_encoding: str = "") -> Scrape:
    """`accept` and `accept_encoding` are the headers of the request: OpenMetrics or plain text, gzip or not.

    Where the fleet cannot be seen, the coordinator tells of itself alone, and that it could not.
    """
    fleet = await watch.text()
    encode, content_type = choose_encoder(accept)
    as_gzip = "gzip" in accept_encoding.lower()

    def render() -> bytes:
        own = encode(metrics.registry)
        end = _END if own.endswith(_END) else b""
        text = own.removesuffix(_END) + _visible(fleet is not None).encode() + (fleet or "").encode() + end
        return gzip.compress(text, compresslevel=1) if as_gzip else text

    return Scrape(await asyncio.to_thread(render), content_type, as_gzip)


def _visible(is_visible: bool) -> str:
    gauge = Gauge(
        "strongroom_fleet_visible",
        "1 where the fleet could be looked at; without it, nothing is said of services, projects and nodes.",
    )
    gauge.add("", is_visible)
    return gauge.text
