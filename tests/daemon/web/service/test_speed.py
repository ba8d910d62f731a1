"""How quickly the page of a service with many backups is made, beside that of one without any."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta

from contracts import control
from contracts.policy.schedule import Off
from contracts.services import PostgreSQLOptions
from contracts.wire import utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from tests.daemon.web.pages import browsing
from tests.daemon.web.service.records import artifact, backup
from tests.e2e.stage import Stage

_BACKUPS = 500
_TRIES = 21


async def test_a_page_of_five_hundred_backups_takes_at_most_three_times_as_long_as_an_empty_one(stage: Stage) -> None:
    await stage.project()
    await stage.nodes("node-1")
    for name in ("empty", "full"):
        add = control.ServiceAdd(project="acme", name=name, options=PostgreSQLOptions(), nodes=["node-1"], schedule=Off())
        await stage.operator.call(control.SERVICE_ADD, add)
    async with stage.nats_server.connect_coordinator() as client, browsing(stage) as admin:
        catalog = Catalog(client, client.jetstream(timeout=5))
        newest = utc_now().replace(microsecond=0) - timedelta(hours=1)
        for hour in range(_BACKUPS):
            artifacts = (artifact("globals", "globals"), artifact("orders"))
            record = backup(newest - timedelta(hours=hour), *artifacts, service="full")
            await catalog.backups.create(key("acme", "full", record.id), record)
        taken_s: dict[str, list[float]] = {"empty": [], "full": []}
        for _ in range(_TRIES):
            # One after the other, so that whatever else the machine does meets both alike.
            for name, times in taken_s.items():
                began = time.perf_counter()
                answer = await admin.get(f"/projects/acme/services/{name}")
                times.append(time.perf_counter() - began)
                assert answer.status_code == 200
                assert ("of 500 backups" in answer.text) is (name == "full")
        empty, full = (statistics.median(times) for times in taken_s.values())
        assert full <= 3 * empty, f"{full * 1000:.0f} ms beside {empty * 1000:.0f} ms"
