"""Our data path in a process that lives through the whole bench, and what each of its jobs cost."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from agents.datapath import UploadLimits
from contracts.asks import AbortArtifact, Aborted, Answer, Ask, CloseArtifact, Closed, MoreParts, OpenArtifact
from scripts.benches.agent_child import Asked, Done, Failed, Job, Ready, Said
from scripts.benches.cost import Cost
from scripts.benches.procfs import cpu_seconds, peak_mib, reset_peak
from tests.agents.datapath.coordinator import RUN_ID, FakeCoordinator


class RunningChild:
    """Uploads what programs write, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process, coordinator: FakeCoordinator) -> None:
        self._process = process
        self._coordinator = coordinator

    async def ready(self) -> None:
        assert isinstance(await self._heard(), Ready)

    async def upload(self, argv: list[str], environment: dict[str, str], limits: UploadLimits) -> Cost:
        job = Job(
            argv=argv,
            environment=environment,
            recipient=str(self._coordinator.project.recipient),
            limits=limits,
            run_id=RUN_ID,
        )
        reset_peak(self._process.pid)
        cpu_before = cpu_seconds(self._process.pid)
        self._tell(job)
        while isinstance(said := await self._heard(), Asked):
            self._tell(await self._answer(said))
        if not isinstance(said, Done):
            raise SystemExit(f"the upload failed: {said}")
        return Cost(
            wall_s=said.elapsed_s,
            cpu_s=cpu_seconds(self._process.pid) - cpu_before,
            memory_mib=peak_mib(self._process.pid),
            stored_bytes=said.artifact.stored_bytes,
            spooled_parts=said.spooled_parts,
        )

    async def _answer(self, said: Asked) -> Answer:
        ask: Ask = msgspec.json.decode(said.ask, type=Ask)
        match ask:
            case OpenArtifact():
                return await self._coordinator.open(ask)
            case MoreParts():
                return await self._coordinator.more(ask)
            case CloseArtifact():
                return Closed(artifact=await self._coordinator.close(ask))
            case AbortArtifact():
                await self._coordinator.abort(ask)
                return Aborted()
            case _:
                raise RuntimeError(f"nobody should ask {ask}")

    def _tell(self, message: Job | Answer) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(message) + b"\n")

    async def _heard(self) -> Said:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the agent process ended")
        said: Said = msgspec.json.decode(line, type=Asked | Done | Failed | Ready)
        return said


@asynccontextmanager
async def running_child(coordinator: FakeCoordinator) -> AsyncIterator[RunningChild]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scripts.benches.agent_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=8 * 1024 * 1024,
    )
    try:
        agent = RunningChild(process, coordinator)
        await agent.ready()
        yield agent
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
