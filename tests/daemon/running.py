"""A coordinator inside the test's own event loop, on the test's own nats-server and bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from nats.aio.client import Client

from contracts.control import Verb
from contracts.errors import ErrorInfo, from_info
from contracts.settings import NatsSettings
from contracts.subjects import control_subject
from contracts.wire import Decoder, encode, utc_now
from daemon.coordinator import run_coordinator
from daemon.embedded.private_files import write_private
from daemon.http.settings import HttpSettings
from daemon.keys.master import MasterKey
from daemon.reaper import ReaperSettings
from daemon.scheduler import SchedulerSettings
from daemon.settings import CoordinatorSettings
from daemon.store.settings import StoreSettings
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

Q = TypeVar("Q")
A = TypeVar("A")

QUICK_REAPER = ReaperSettings(every_s=0.1, start_deadline_s=60, lost_after_s=60, purge_every_s=0.1, purge_after_s=0)
QUICK_SCHEDULER = SchedulerSettings(tick_s=0.02, retry_s=0.1)


class SetClock:
    """A wall clock that stands until it is set, and says so to a coordinator: `running_coordinator(settings, now=clock)`."""

    def __init__(self, start: datetime) -> None:
        self.moment = start

    def __call__(self) -> datetime:
        return self.moment

    def set(self, moment: datetime) -> None:
        self.moment = moment

    def advance(self, **by: float) -> None:
        """By so many `days`, `hours`, `minutes` or `seconds`."""
        self.moment += timedelta(**by)


def coordinator_settings(
    directory: Path,
    nats_server: NatsServer,
    bucket: Bucket,
    *,
    reaper: ReaperSettings = QUICK_REAPER,
    scheduler: SchedulerSettings = QUICK_SCHEDULER,
    url_lifetime_s: int = 60,
    http: HttpSettings | None = None,
) -> CoordinatorSettings:
    """Settings whose files lie in `directory`; calling it again gives the same master key."""
    master, credentials = directory / "master.key", directory / "store.toml"
    if not master.exists():
        write_private(master, MasterKey.generate().reveal())
    server = bucket.server
    write_private(credentials, f'access_key = "{server.access_key}"\nsecret_key = "{server.secret_key}"\n')
    return CoordinatorSettings(
        nats=NatsSettings(url=nats_server.url, nkey_file=str(nats_server.coordinator_seed)),
        store=StoreSettings(
            bucket=bucket.name,
            endpoint_url=server.endpoint_url,
            region=server.region,
            credentials_file=str(credentials),
            url_lifetime_s=url_lifetime_s,
        ),
        master_key_file=str(master),
        http=http,
        reaper=reaper,
        scheduler=scheduler,
    )


@asynccontextmanager
async def running_coordinator(settings: CoordinatorSettings, *, now: Callable[[], datetime] = utc_now) -> AsyncIterator[str]:
    """Ready on entering, with its URL where it listens for HTTP; stopped in order on leaving.  `now` is its wall clock."""
    stop, ready = asyncio.Event(), asyncio.Event()
    urls: list[str] = []
    run = run_coordinator(settings, stop, ready=ready.set, listening=urls.append, now=now)
    task = asyncio.create_task(run, name="coordinator")
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            task.result()
        yield urls[0] if urls else ""
    finally:
        waiting.cancel()
        stop.set()
        await task


class Operator:
    """Calls control verbs over the bus, as the CLI does."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, verb: Verb[Q, A], request: Q, *, timeout_s: float = 20) -> A:
        """Raises: StrongroomError as the coordinator answered it."""
        decoder: Decoder[A] = Decoder(verb.answer)
        return decoder.decode(await self.call_raw(verb.name, encode(request), timeout_s=timeout_s))

    async def call_raw(self, verb: str, data: bytes, *, timeout_s: float = 20) -> bytes:
        message = await self.client.request(control_subject(verb), data, timeout=timeout_s)
        headers: dict[str, Any] = message.headers or {}
        if "Nats-Service-Error-Code" in headers:
            raise from_info(Decoder[ErrorInfo](ErrorInfo).decode(message.data))
        return message.data
