"""Waiting for what the coordinator and the agent do, with what they say of it meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from nats.aio.msg import Msg

from contracts import control
from contracts.errors import RunFailed, StrongroomError, from_info
from contracts.records import AnyRun, BackupRecord, EngineHealth, RestoreRecord, RunKind
from contracts.reports import progress_decoder
from contracts.subjects import progress_subject
from daemon.cli.client import ControlClient
from daemon.cli.following import failure_of
from daemon.cli.run_picture import RunPicture
from daemon.demo.steps import Step

Run = TypeVar("Run", BackupRecord, RestoreRecord)

_LOOK_EVERY_S: Final = 0.2
_ENGINE_S: Final = 60.0


async def wait_engine(client: ControlClient, node: str, service: str) -> EngineHealth:
    """Until the node's agent has reached the engine of `project/service`.

    Raises: StrongroomError, what the agent last said of it after a minute, or that it said nothing.
    """
    give_up_at = time.monotonic() + _ENGINE_S
    while True:
        nodes = (await client.ask(control.NODE_LIST, control.Nothing())).nodes
        alive = next((view.alive for view in nodes if view.record.name == node), None)
        health = alive.services.get(service) if alive is not None else None
        if health is not None and health.reachable:
            return health
        if time.monotonic() >= give_up_at:
            if health is not None and health.error is not None:
                raise from_info(health.error)
            raise RunFailed("engine.unreachable", f"the agent {node} said nothing of {service} for {_ENGINE_S:.0f} s")
        await asyncio.sleep(_LOOK_EVERY_S)


async def wait_backup(client: ControlClient, run: BackupRecord, step: Step) -> BackupRecord:
    """The record of the completed backup.  Raises: StrongroomError, the run's own error when it ended otherwise."""
    reference = control.RunRefRequest(project=run.project, service=run.service, id=run.id)

    async def look() -> BackupRecord:
        return (await client.ask(control.BACKUP_SHOW, reference)).record

    async with _shown(client, run, RunKind.BACKUP, step):
        return await _ended(look)


async def wait_restore(client: ControlClient, run: RestoreRecord, step: Step) -> RestoreRecord:
    """As `wait_backup`."""
    reference = control.RunRefRequest(project=run.project, service=run.service, id=run.id)

    async def look() -> RestoreRecord:
        return await client.ask(control.RESTORE_SHOW, reference)

    async with _shown(client, run, RunKind.RESTORE, step):
        return await _ended(look)


async def _ended(look: Callable[[], Awaitable[Run]]) -> Run:
    run = await look()
    while run.state.is_active:
        await asyncio.sleep(_LOOK_EVERY_S)
        run = await look()
    if failure := failure_of(run):
        raise failure
    return run


@asynccontextmanager
async def _shown(client: ControlClient, run: AnyRun, kind: RunKind, step: Step) -> AsyncIterator[None]:
    """Shows what the agent says of the run; the record alone decides."""
    picture = RunPicture(kind, time.monotonic())

    async def heard(message: Msg) -> None:
        with contextlib.suppress(StrongroomError):  # a line that cannot be read is not missed
            picture.take_progress(progress_decoder.decode(message.data), time.monotonic())
            step.show(f"{picture.step()}\n{', '.join(picture.amounts())}".rstrip(), picture.fraction)

    subscription = await client.bus.subscribe(progress_subject(run.project, run.service, run.id), cb=heard)
    try:
        yield
    finally:
        if client.bus.is_connected:
            await subscription.unsubscribe()
