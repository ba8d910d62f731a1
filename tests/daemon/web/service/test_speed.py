"""How quickly the page of a service with many backups is made, beside that of one without any."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx

from contracts import control
from contracts.access import Role
from contracts.policy.schedule import Off
from contracts.services import PostgreSQLOptions
from contracts.wire import utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.http.settings import HttpSettings
from daemon.web.sessions import CSRF_FIELD
from tests.daemon.running import Operator, coordinator_settings, running_coordinator
from tests.daemon.web.service.records import artifact, backup
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

_BACKUPS = 500
_TRIES = 21


@asynccontextmanager
async def browsing(directory: Path, nats_server: NatsServer, bucket: Bucket) -> AsyncIterator[httpx.AsyncClient]:
    """Logged in as an admin, with the services `acme/empty` and `acme/full`."""
    settings = coordinator_settings(directory, nats_server, bucket, http=HttpSettings(port=0))
    async with (
        running_coordinator(settings) as url,
        nats_server.connect_operator() as client,
        httpx.AsyncClient(base_url=url, headers={"Accept": "text/html"}) as http,
    ):
        operator = Operator(client)
        await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
        for name in ("empty", "full"):
            add = control.ServiceAdd(
                project="acme", name=name, options=PostgreSQLOptions(), nodes=["node-1"], schedule=Off()
            )
            await operator.call(control.SERVICE_ADD, add)
        token = await operator.call(control.TOKEN_CREATE, control.TokenCreate(name="admin", role=Role.ADMIN))
        answer = await http.post("/login", data={"token": token.token, CSRF_FIELD: ""})
        assert answer.status_code == 303, answer.text
        yield http


async def test_a_page_of_five_hundred_backups_takes_at_most_three_times_as_long_as_an_empty_one(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with browsing(tmp_path, nats_server, bucket) as http, nats_server.connect_coordinator() as client:
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
                answer = await http.get(f"/projects/acme/services/{name}")
                times.append(time.perf_counter() - began)
                assert answer.status_code == 200
                assert ("of 500 backups" in answer.text) is (name == "full")
        empty, full = (statistics.median(times) for times in taken_s.values())
        assert full <= 3 * empty, f"{full * 1000:.0f} ms beside {empty * 1000:.0f} ms"
