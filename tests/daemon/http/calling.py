"""A coordinator that listens, with what is in it, and callers of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec

from contracts import control
from contracts.access import Role
from contracts.control import Verb
from contracts.records import BackupRecord, RunState, Trigger
from contracts.services import PostgreSQLOptions
from contracts.wire import utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.http.operations import API_PREFIX
from daemon.http.settings import HttpSettings
from tests.daemon.running import Operator, coordinator_settings, running_coordinator
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

BACKUP_ID = "20261122T000512Z-k7xq"


@dataclass
class Door:
    """A listening coordinator: `await door.call("GET", "/projects")` as an admin, or with another token."""

    url: str
    operator: Operator
    http: httpx.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)

    async def token(self, role: Role = Role.ADMIN, *, project: str = "", **fields: Any) -> str:
        """The same one for the same role and project."""
        name = f"{role} of {project or 'all'}"
        if name not in self.tokens or fields:
            request = msgspec.convert({"name": name, "role": role, "project": project, **fields}, control.TokenCreate)
            self.tokens[name] = (await self.operator.call(control.TOKEN_CREATE, request)).token
        return self.tokens[name]

    async def call(
        self, method: str, path: str, *, token: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        shown = await self.token() if token is None else token
        let_in = {"Authorization": f"Bearer {shown}"} if shown else {}
        return await self.http.request(method, API_PREFIX + path, headers={**let_in, **(headers or {})}, **more)


@asynccontextmanager
async def open_door(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket, *, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Door]:
    settings = coordinator_settings(tmp_path, nats_server, bucket, http=HttpSettings(port=0))
    async with (
        running_coordinator(settings, now=now) as url,
        nats_server.connect_operator() as client,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        yield Door(url, Operator(client), http)


async def fill(door: Door) -> None:
    """The project `acme` with the service `orders` on `node-1`, and the project `other`."""
    for name in ("acme", "other"):
        await door.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name=name))
    await door.operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
    add = control.ServiceAdd(project="acme", name="orders", options=PostgreSQLOptions(), nodes=["node-1"])
    await door.operator.call(control.SERVICE_ADD, add)


def a_backup(number: int, *, project: str = "acme", service: str = "orders", **fields: Any) -> BackupRecord:
    """A completed one as records have it, for lists; its objects do not exist."""
    moment = datetime.fromisoformat("2026-01-01T00:00:00Z").timestamp() + number * 3600
    at = datetime.fromtimestamp(moment, tz=utc_now().tzinfo)
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    tail = "".join(letters[(number >> shift) & 31] for shift in (15, 10, 5, 0))
    values: dict[str, Any] = {
        "id": f"{at:%Y%m%dT%H%M%SZ}-{tail}",
        "project": project,
        "service": service,
        "kind": "postgresql",
        "state": RunState.COMPLETED,
        "trigger": Trigger.SCHEDULE,
        "requested_at": at,
        "node": "node-1",
        "placement": "the only one",
        "options": PostgreSQLOptions(),
        "recipients": [],
        "key_id": "",
        "size_bytes": 1000 + number,
    }
    return BackupRecord(**values | fields)


async def store_backups(nats_server: NatsServer, count: int, **fields: Any) -> list[BackupRecord]:
    """Written as records; the oldest first."""
    records = [a_backup(number, **fields) for number in range(count)]
    async with nats_server.connect_coordinator() as client:
        catalog = Catalog(client, client.jetstream())
        for record in records:
            await catalog.backups.create(key(record.project, record.service, record.id), record)
    return records


def request_of(verb: Verb[Any, Any], fields: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Method, path and the rest of a call with these fields of the request."""
    path = verb.path
    rest = dict(fields)
    for name in fields:
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", str(rest.pop(name)))
    if verb.method in ("GET", "DELETE"):
        return verb.method, path, {"params": rest}
    return verb.method, path, {"json": rest}
