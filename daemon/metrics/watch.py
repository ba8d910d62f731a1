"""Looks at the fleet when somebody scrapes, and no more often than every few seconds, whoever scrapes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog
from nats.js import JetStreamContext

from contracts import subjects
from contracts.bus import patiently
from contracts.errors import StrongroomError
from contracts.tasks import cancel_surely
from daemon.catalog.catalog import Catalog
from daemon.fleet import Fleet
from daemon.metrics.fleet import FleetSnapshot, fleet_gauges

log = structlog.get_logger()

FRESH_S: Final = 5.0
"""A look at 10,000 services costs half a second of a core; what is younger than this is told again."""
PATIENCE_S: Final = 5.0
"""Prometheus gives a scrape ten seconds by default: whoever waits longer hears of the coordinator alone."""


class FleetWatch:
    """The fleet, some seconds old at most, or nothing: what cannot be seen now is not told from memory."""

    def __init__(
        self, look: Callable[[], Awaitable[FleetSnapshot]], *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._clock_s = clock_s
        self._newest: tuple[float, str] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def text(self) -> str | None:
        """All gauges of the fleet; None when the bus does not answer in time, or its records cannot be read."""
        if self._newest is None or self._clock_s() - self._newest[0] > FRESH_S:
            self._newest = None
            if self._looking is None or self._looking.done():
                # One look for all that scrape meanwhile; it goes on when one of them has lost patience.
                self._looking = asyncio.create_task(self._refresh(), name="metrics:look")
            await asyncio.wait({self._looking}, timeout=PATIENCE_S)
        return self._newest[1] if self._newest is not None else None

    async def close(self) -> None:
        if self._looking is not None:
            await cancel_surely(self._looking)

    async def _refresh(self) -> None:
        began_s = self._clock_s()
        try:
            fleet = await self._look()
            # Megabytes of text: made beside the event loop, for which runs have the better use.
            self._newest = (began_s, await asyncio.to_thread(_written, fleet))
        except StrongroomError as exc:
            log.warning("metrics.incomplete", code=exc.code, reason=exc.message)
        except Exception:
            log.exception("metrics.failed")


def _written(fleet: FleetSnapshot) -> str:
    return "".join(gauge.text for gauge in fleet_gauges(fleet))


def fleet_look(
    catalog: Catalog, fleet: Fleet, js: JetStreamContext, now: Callable[[], datetime]
) -> Callable[[], Awaitable[FleetSnapshot]]:
    """Some dozens of round trips, however many services there are."""

    async def look() -> FleetSnapshot:
        views, projects, usage, nodes, alive = await asyncio.gather(
            fleet.all(), catalog.projects.select(), catalog.usage.select(), catalog.nodes.select(), catalog.alive.select()
        )
        requests = await patiently(
            lambda: js.stream_info(subjects.REQUESTS_STREAM, subjects_filter=subjects.REQUEST_SUBJECTS),
            "requests that wait",
        )
        reports = await patiently(lambda: js.stream_info(subjects.REPORTS_STREAM), "reports that wait")
        awake = {stored.key: stored.value for stored in alive}
        return FleetSnapshot(
            views=views,
            projects=[stored.value for stored in projects],
            usage={stored.key: stored.value for stored in usage},
            nodes={stored.key: awake.get(stored.key) for stored in nodes},
            requests={subject.rpartition(".")[2]: count for subject, count in (requests.state.subjects or {}).items()},
            reports=reports.state.messages,
            at=now(),
        )

    return look
