"""Waiting for what the coordinator and the agent do, with what they say of it meanwhile."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Final, TypeVar

from contracts import control
from contracts.errors import RunFailed, from_info
from contracts.records import BackupRecord, EngineHealth, RestoreRecord
from contracts.reports import Progress
from daemon.cli.client import ControlClient
from daemon.cli.following import failure_of
from daemon.cli.references import RunRef
from daemon.cli.run_picture import RunPicture
from daemon.demo.steps import Step
from daemon.news import kind_of

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


async def wait_run(client: ControlClient, run: Run, step: Step) -> Run:
    """The record of the completed backup or restore; what is said of it meanwhile is shown.

    Raises: StrongroomError, the run's own error when it ended otherwise.
    """
    picture = RunPicture(kind_of(run), time.monotonic())
    async with aclosing(client.run_news(RunRef(run.project, run.service, run.id))) as found:
        async for news in found:
            if isinstance(news, type(run)):
                run = news
            elif isinstance(news, Progress):
                picture.take_progress(news, time.monotonic())
                step.show(f"{picture.step()}\n{', '.join(picture.amounts())}".rstrip(), picture.fraction)
    if failure := failure_of(run):
        raise failure
    return run
