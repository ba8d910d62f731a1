"""One restore, from the look at the target to the report."""

from __future__ import annotations

import aiohttp
import structlog

from agents.coordinator import RunConversation
from agents.datapath.download import download_artifact
from agents.datapath.grants import ask_patiently
from agents.datapath.limits import DownloadLimits
from agents.drivers.base import Capabilities, Driver
from agents.progress import RunProgress
from contracts.age import Identity
from contracts.asks import RestoreJob
from contracts.errors import RunFailed, StrongroomError
from contracts.records import RestoreTarget
from contracts.reports import RestoreFinished
from contracts.tracing import span
from contracts.wire import utc_now

log = structlog.get_logger()


async def make_restore(
    job: RestoreJob,
    driver: Driver,
    conversation: RunConversation,
    identity: Identity,
    *,
    http: aiohttp.ClientSession,
    limits: DownloadLimits,
    progress: RunProgress,
) -> RestoreFinished:
    """Every artifact of the job, in place.

    Each artifact is put in place as a whole or not at all.  Raises: StrongroomError, whose detail names what is in place
    already when a later artifact failed.
    """
    started_at = utc_now()

    async def still_wanted() -> None:
        await ask_patiently(lambda: conversation.check(job.attempt), limits.retry)

    require_capable(driver.capabilities_of(job.artifacts), job.target)
    with span("restore.check", within=True):
        await driver.check_restore(job.artifacts, job.target)
    progress.artifact_count = len(job.artifacts)
    progress.estimate_bytes = sum(artifact.plain_bytes for artifact in job.artifacts)
    in_place: list[str] = []
    warnings: list[str] = []
    for artifact in driver.restore_order(job.artifacts):
        meter = progress.begin_artifact("restoring", artifact.name)
        try:
            with span("artifact.restore", within=True, artifact_kind=artifact.kind, plain_bytes=artifact.plain_bytes):
                async with driver.restore(artifact, job.target, job.run_id, confirm=still_wanted) as sink:
                    outcome = await download_artifact(
                        artifact,
                        sink,
                        run_id=job.run_id,
                        attempt=job.attempt,
                        grants=conversation,
                        identity=identity,
                        http=http,
                        limits=limits,
                        meter=meter,
                    )
        except StrongroomError as exc:
            if in_place:
                done = f"already in place: {', '.join(in_place)}"
                exc.detail = f"{exc.detail}\n{done}" if exc.detail else done
            raise
        in_place.append(str(outcome.get("in_place") or job.target.rename.get(artifact.name, artifact.name)))
        if isinstance(said := outcome.get("warnings"), list):
            warnings += said
    return RestoreFinished(
        project=conversation.project,
        service=conversation.service,
        run_id=job.run_id,
        attempt=job.attempt,
        started_at=started_at,
        finished_at=utc_now(),
        restored={"in_place": in_place},
        warnings=warnings,
    )


def require_capable(capabilities: Capabilities, target: RestoreTarget) -> None:
    """Raises: RunFailed `restore.unsupported` for what a target asks of backups that cannot do it."""
    for asked, can, field, words in (
        (target.rename, capabilities.rename, "rename", "be restored under other names"),
        (target.directory, capabilities.directory, "directory", "be restored into a directory"),
        (target.paths, capabilities.paths, "paths", "be restored file by file"),
        (target.skip_roles, capabilities.skip_roles, "skip_roles", "be restored without their roles"),
    ):
        if asked and not can:
            raise RunFailed("restore.unsupported", f"{field}: backups of this kind cannot {words}", field=field)
