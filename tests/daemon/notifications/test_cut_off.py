"""Leaders that die: nobody misses anything, and nobody is told twice."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from nats.aio.client import Client

from contracts import control
from contracts.errors import ErrorInfo
from contracts.ids import due_run_id
from contracts.notifications import PingMethod
from contracts.records import ProjectRecord, ServiceRecord
from contracts.services import PostgreSQLOptions
from contracts.tasks import cancel_surely
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.embedded.private_files import write_private
from daemon.keys.master import MasterKey
from daemon.notifications.notifier import Notifier
from daemon.notifications.settings import NotificationSettings
from daemon.runs.events import EventPublisher
from daemon.settings import CoordinatorSettings
from tests.daemon.inside import catalog_of
from tests.daemon.notifications.receivers import Webhook
from tests.daemon.robots import robot
from tests.daemon.running import Operator, SetClock
from tests.daemon.scene import at
from tests.servers.nats import NatsServer
from tests.servers.process import ServerProcess
from tests.servers.waiting import eventually

START = at("2026-03-01 12:00")
HASTY = NotificationSettings(window_s=0.05, every_s=0.02, send_timeout_s=1, ping_timeout_s=2, retry_s=0.05)
MASTER = MasterKey.generate()
HOURS = 4


class Died(BaseException):
    """As if the process had been killed at this write."""


class Lives:
    """Counts the writes of a leader; after its last one it does nothing more."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.last = ""

    def spend(self, bucket: str) -> None:
        if self.left <= 0:
            raise Died
        self.left -= 1
        self.last = bucket


def mortal(catalog: Catalog, lives: Lives) -> None:
    """The catalogue's writes go through `lives`; the last one is made, and its maker learns nothing of it."""
    for bucket in (catalog.alerts, catalog.watches, catalog.read_until, catalog.channels, catalog.pings):
        bucket._write = _dying(bucket, lives)  # type: ignore[method-assign]


def _dying(bucket: Any, lives: Lives) -> Any:
    write = bucket._write

    async def dying(*args: Any, **fields: Any) -> int:
        lives.spend(bucket.name)
        revision: int = await write(*args, **fields)
        if lives.left == 0:
            raise Died
        return revision

    return dying


def notifier(client: Client, catalog: Catalog, clock: SetClock) -> Notifier:
    js = client.jetstream(timeout=5)
    return Notifier(client, js, catalog, MASTER, EventPublisher(js), HASTY, public_url="", now=clock)


async def prepare(client: Client, clock: SetClock, hook: Webhook) -> None:
    """A service with a channel and a ping."""
    js = client.jetstream(timeout=5)
    await ensure_topology(js, replicas=1)
    catalog = Catalog(client, js)
    owner = ProjectRecord(name="acme", created_at=START, key_id="", recipients=[])
    await catalog.projects.create("acme", owner)
    service = ServiceRecord(project="acme", name="orders", created_at=START, options=PostgreSQLOptions(), nodes=["node-1"])
    await catalog.services.create(key("acme", "orders"), service)
    made = notifier(client, catalog, clock)
    await made.prepare()
    await made.channels.create(control.ChannelCreate(name="ops", url=hook.address()))
    await made.pings.set(
        control.PingSet(project="acme", service="orders", url=hook.url("ping"), method=PingMethod.POST, tell_failure=True)
    )


async def happen(client: Client) -> None:
    """Every second backup fails."""
    events = EventPublisher(client.jetstream(timeout=5))
    for hour in range(HOURS):
        moment = START.replace(hour=hour)
        run_id = due_run_id("acme", "orders", moment)
        verb = "completed" if hour % 2 else "failed"
        await events.publish(
            f"backup.{verb}",
            key=f"acme/orders/{run_id}:1",
            at=moment,
            project="acme",
            service="orders",
            backup_id=run_id,
            error=None if hour % 2 else ErrorInfo(code="dump.failed", message=f"it broke at {hour:02}:00"),
        )


async def lead(nats_server: NatsServer, clock: SetClock, lives: Lives, is_done: asyncio.Event) -> bool:
    """A leader with so many writes to live, until it is dead or all is done; whether it died."""
    async with nats_server.connect_coordinator() as client:
        catalog = Catalog(client, client.jetstream(timeout=5))
        mortal(catalog, lives)
        task = asyncio.create_task(notifier(client, catalog, clock).run())
        done = asyncio.create_task(is_done.wait())
        await asyncio.wait({task, done}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        died = task.done()
        lives.left = 0  # nor does it in its last moments
        await cancel_surely(task, done)
        if died:
            with pytest.raises(BaseExceptionGroup) as caught:
                task.result()
            assert caught.group_contains(Died)
        return died


@pytest.mark.parametrize("writes", range(1, 12))
async def test_wherever_a_leader_is_cut_off_the_next_one_goes_on(
    nats_server: NatsServer, hook: Webhook, writes: int
) -> None:
    clock = SetClock(START)
    async with nats_server.connect_coordinator() as client:
        await prepare(client, clock, hook)
        await happen(client)
        catalog = Catalog(client, client.jetstream(timeout=5))
        settled = asyncio.Event()

        async def is_settled() -> bool:
            (channel,) = await catalog.channels.select()
            (ping,) = await catalog.pings.select()
            is_told = len(told(hook)) >= HOURS and any(call.path == "/ping" for call in hook.calls)
            return is_told and not channel.value.delivery.sending and ping.value.pending is None

        async def watch() -> None:
            await eventually(is_settled, 30)
            settled.set()

        watching = asyncio.create_task(watch())
        first = Lives(writes)
        died = await lead(nats_server, clock, first, settled)
        if died:
            assert not await lead(nats_server, clock, Lives(1_000), settled)
        await watching
    sent_before = first.last == "strongroom-channels" and died
    counts = {line: told(hook).count(line) for line in set(told(hook))}
    assert len(counts) == HOURS, counts
    if not sent_before:
        assert set(counts.values()) == {1}, counts
    # Where it died between the answer and the record of it, there is no other way.
    assert max(counts.values()) <= 2


def told(hook: Webhook) -> list[str]:
    """What the messages say, line by line."""
    lines: list[str] = []
    for call in hook.calls:
        if call.path == "/hook":
            text = call.json["title"] + "\n" + call.json["message"]
            lines += [f"failed {hour}" for hour in range(HOURS) if f"it broke at {hour:02}:00" in text]
            lines += [
                f"recovered {hour}"
                for hour in range(HOURS)
                if f"since 2026-03-01 {hour:02}:00" in text or f"Trouble: 2026-03-01 {hour:02}:00" in text
            ]
    return lines


@asynccontextmanager
async def operator_of(nats_server: NatsServer) -> AsyncIterator[Operator]:
    async with nats_server.connect_operator() as client:
        yield Operator(client)


@pytest.fixture
def processes() -> Iterator[list[ServerProcess]]:
    started: list[ServerProcess] = []
    yield started
    for process in started:
        process.kill()


async def test_a_leader_that_is_killed_before_its_message_went_out_is_followed_by_one_that_sends_it_once(
    settings: CoordinatorSettings,
    nats_server: NatsServer,
    hook: Webhook,
    tmp_path: Path,
    processes: list[ServerProcess],
) -> None:
    slow = msgspec.structs.replace(settings, notifications=NotificationSettings(window_s=3, every_s=0.1, retry_s=0.2))
    config = tmp_path / "coordinator.toml"
    plain = msgspec.to_builtins(slow)
    plain = {name: value for name, value in plain.items() if value is not None}
    write_private(config, tomli_w.dumps({name: _without_none(value) for name, value in plain.items()}))

    def start(name: str) -> ServerProcess:
        argv = [sys.executable, "-m", "daemon", "--config", str(config)]
        environment = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        process = ServerProcess(name, argv, directory=tmp_path, env=environment)
        processes.append(process)
        log = tmp_path / f"{name}.log"
        process.start(lambda: "coordinator.ready" in log.read_text())
        return process

    first = await asyncio.to_thread(start, "first")
    async with operator_of(nats_server) as operator, catalog_of(nats_server) as catalog, AsyncExitStack() as stack:
        await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
        await operator.call(control.CHANNEL_CREATE, control.ChannelCreate(name="ops", url=hook.address()))
        add = control.ServiceAdd(project="acme", name="orders", options=PostgreSQLOptions(), nodes=["node-1"])
        await operator.call(control.SERVICE_ADD, add)
        agent = await stack.enter_async_context(robot(nats_server, "node-1", "acme/orders"))
        agent.failure = lambda _: ErrorInfo(code="dump.failed", message="it broke")
        await eventually(lambda: catalog.alive.get("node-1"), 20)
        await operator.call(control.BACKUP_CREATE, control.BackupCreate(project="acme", service="orders"))
        await eventually(catalog.alerts.select, 20)
        first.kill()
        assert not hook.calls
        await asyncio.to_thread(start, "second")
        await eventually(lambda: hook.calls, 40)
        await asyncio.sleep(4)
    assert hook.titles == ["acme/orders: backup failed"]


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return value
