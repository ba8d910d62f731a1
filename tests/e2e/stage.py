"""A running coordinator with its pages, for a browser to look at: real NATS server, real bucket, real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contracts import control
from contracts.access import Role
from contracts.wire import utc_now
from daemon.http.settings import HttpSettings
from daemon.reaper import ReaperSettings
from daemon.settings import CoordinatorSettings
from tests.daemon.running import QUICK_REAPER, Operator, coordinator_settings, running_coordinator
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

ANY_PORT = HttpSettings(port=0)


@dataclass(kw_only=True)
class Stage:
    """What a test of pages needs to reach."""

    url: str
    operator: Operator
    nats_server: NatsServer
    settings: CoordinatorSettings

    async def token(self, role: Role = Role.ADMIN, *, project: str = "", name: str = "") -> control.NewToken:
        """A fresh token; `token` is what somebody pastes into the login page."""
        create = control.TokenCreate(name=name or f"{role} of {project or 'all'}", role=role, project=project)
        return await self.operator.call(control.TOKEN_CREATE, create)

    async def project(self, name: str = "acme") -> None:
        await self.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name=name))

    async def nodes(self, *names: str) -> None:
        """Registered, and silent."""
        for name in names:
            await self.operator.call(control.NODE_ADD, control.NodeRef(node=name))


@asynccontextmanager
async def standing_stage(
    directory: Path,
    nats_server: NatsServer,
    bucket: Bucket,
    *,
    http: HttpSettings = ANY_PORT,
    reaper: ReaperSettings = QUICK_REAPER,
    now: Callable[[], datetime] = utc_now,
) -> AsyncIterator[Stage]:
    """With nothing on it yet."""
    settings = coordinator_settings(directory, nats_server, bucket, http=http, reaper=reaper)
    async with running_coordinator(settings, now=now) as url, nats_server.connect_operator() as client:
        yield Stage(url=url, operator=Operator(client), nats_server=nats_server, settings=settings)
