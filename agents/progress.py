"""How far a run is, said once a second."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from agents.datapath.meter import TransferMeter
from contracts.records import RunKind
from contracts.reports import Progress
from contracts.subjects import agent_progress_subject
from contracts.wire import encode

_EVERY_S: Final = 1.0


@dataclass(slots=True)
class RunProgress:
    """What a job notes of itself as it goes."""

    phase: str = "preparing"
    artifact: str = ""
    artifact_index: int = 0
    artifact_count: int = 0
    estimate_bytes: int = 0
    meters: list[TransferMeter] = field(default_factory=list)

    def begin_artifact(self, phase: str, name: str) -> TransferMeter:
        """The meter of the next artifact."""
        self.phase = phase
        self.artifact = name
        self.artifact_index += 1
        self.meters.append(TransferMeter())
        return self.meters[-1]


async def tell_progress(
    client: Client, node: str, progress: RunProgress, *, run: RunKind, project: str, service: str, run_id: str, attempt: int
) -> None:
    """Until cancelled; a line that cannot be sent is not missed."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    subject = agent_progress_subject(node)
    while True:
        line = Progress(
            run=run,
            project=project,
            service=service,
            run_id=run_id,
            attempt=attempt,
            phase=progress.phase,
            artifact=progress.artifact,
            artifact_index=progress.artifact_index,
            artifact_count=progress.artifact_count,
            plain_bytes=sum(meter.plain_bytes for meter in progress.meters),
            stored_bytes=sum(meter.stored_bytes for meter in progress.meters),
            estimate_bytes=progress.estimate_bytes,
            elapsed_s=round(loop.time() - began, 3),
        )
        with contextlib.suppress(NatsError):
            await client.publish(subject, encode(line))
        await asyncio.sleep(_EVERY_S)
