"""One backup, from the plan to the report."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec
import structlog
import zstandard

from agents.coordinator import RunConversation
from agents.datapath.limits import UploadLimits
from agents.datapath.staging import Staging
from agents.datapath.threads import first_reason
from agents.datapath.upload import Uploaded, upload_artifact
from agents.drivers.base import BackupPlan, Driver, PlannedArtifact
from agents.progress import RunProgress
from contracts.age import Encryptor, Recipient
from contracts.asks import BackupJob
from contracts.reports import BackupFinished
from contracts.tracing import span
from contracts.wire import utc_now

log = structlog.get_logger()


async def make_backup(
    job: BackupJob,
    driver: Driver,
    conversation: RunConversation,
    *,
    http: aiohttp.ClientSession,
    staging: Staging,
    limits: UploadLimits,
    progress: RunProgress,
) -> BackupFinished:
    """Every artifact of the driver's plan, stored and closed.  Raises: StrongroomError; nothing of the run is left then."""
    started_at = utc_now()
    recipients = [Recipient.parse(text) for text in job.recipients]
    with span("backup.plan", within=True):
        plan = await driver.plan_backup()
    progress.artifact_count = len(plan.artifacts)
    progress.estimate_bytes = sum(planned.estimate_bytes for planned in plan.artifacts)
    log.info("backup.planned", artifacts=len(plan.artifacts), estimate_bytes=progress.estimate_bytes)

    async def upload(index: int, planned: PlannedArtifact) -> Uploaded:
        meter = progress.begin_artifact("dumping", planned.name)
        with span("artifact.upload", within=True, artifact_kind=planned.kind, index=index) as traced:
            async with driver.dump(planned) as source:
                uploaded = await upload_artifact(
                    source,
                    planned,
                    run_id=job.run_id,
                    attempt=job.attempt,
                    index=index,
                    recipients=recipients,
                    grants=conversation,
                    http=http,
                    staging=staging,
                    limits=limits,
                    meter=meter,
                )
            traced.set(
                plain_bytes=uploaded.artifact.plain_bytes,
                stored_bytes=uploaded.artifact.stored_bytes,
                parts=meter.parts,
                retries=meter.retries,
            )
            return uploaded

    async with driver.holding(plan):
        uploaded = await upload_all(plan, upload)
        changes = await driver.finish_backup(plan)
    progress.phase = "finishing"
    return BackupFinished(
        project=job.project,
        service=job.service,
        run_id=job.run_id,
        attempt=job.attempt,
        started_at=started_at,
        finished_at=utc_now(),
        artifacts=[each.artifact for each in uploaded],
        summary=plan.summary,
        sealed_inventory=_seal(msgspec.json.encode(plan.inventory), recipients),
        tools=plan.tools,
        warnings=[*plan.warnings, *(warning for each in uploaded for warning in each.warnings), *changes],
    )


async def upload_all(plan: BackupPlan, upload: Callable[[int, PlannedArtifact], Awaitable[Uploaded]]) -> list[Uploaded]:
    """In the plan's order, as many at once as it allows; the first that fails ends the others."""
    waiting = deque(enumerate(plan.artifacts, start=1))
    done: dict[int, Uploaded] = {}

    async def work() -> None:
        while waiting:
            index, planned = waiting.popleft()
            done[index] = await upload(index, planned)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(min(plan.parallel, len(plan.artifacts))):
                group.create_task(work(), name=f"backup:upload-{number}")
    except BaseExceptionGroup as several:
        reason = first_reason(several)
        raise reason from reason.__cause__
    return [done[index] for index in sorted(done)]


def _seal(plain: bytes, recipients: list[Recipient]) -> bytes:
    encryptor = Encryptor(recipients)
    packed = zstandard.ZstdCompressor(level=9).compress(plain)
    return encryptor.preamble + encryptor.update(packed) + encryptor.finish()
