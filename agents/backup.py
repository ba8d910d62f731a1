"""One backup, from the plan to the report."""

from __future__ import annotations

import aiohttp
import msgspec
import structlog
import zstandard

from agents.coordinator import RunConversation
from agents.datapath.limits import UploadLimits
from agents.datapath.staging import Staging
from agents.datapath.upload import upload_artifact
from agents.drivers.base import Driver
from agents.progress import RunProgress
from contracts.age import Encryptor, Recipient
from contracts.asks import BackupJob
from contracts.records import ArtifactRecord
from contracts.reports import BackupFinished
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
    plan = await driver.plan_backup()
    progress.artifact_count = len(plan.artifacts)
    progress.estimate_bytes = sum(planned.estimate_bytes for planned in plan.artifacts)
    log.info("backup.planned", artifacts=len(plan.artifacts), estimate_bytes=progress.estimate_bytes)
    artifacts: list[ArtifactRecord] = []
    warnings = list(plan.warnings)
    for index, planned in enumerate(plan.artifacts, start=1):
        meter = progress.begin_artifact("dumping", planned.name)
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
        artifacts.append(uploaded.artifact)
        warnings += uploaded.warnings
    progress.phase = "finishing"
    return BackupFinished(
        project=job.project,
        service=job.service,
        run_id=job.run_id,
        attempt=job.attempt,
        started_at=started_at,
        finished_at=utc_now(),
        artifacts=artifacts,
        summary=plan.summary,
        sealed_inventory=_seal(msgspec.json.encode(plan.inventory), recipients),
        tools=plan.tools,
        warnings=warnings,
    )


def _seal(plain: bytes, recipients: list[Recipient]) -> bytes:
    encryptor = Encryptor(recipients)
    packed = zstandard.ZstdCompressor(level=9).compress(plain)
    return encryptor.preamble + encryptor.update(packed) + encryptor.finish()
