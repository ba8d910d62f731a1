"""Answers to agents at work: who may go on, signed URLs for parts, and completing what was sent.

The node is taken from the subject, which the server vouches for, and every ask is held against the run's record.  Nothing
is answered where the answer could do harm (`is_reply_inbox`), and nothing that went wrong is answered with silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog
from nats.aio.msg import Msg

from contracts.asks import (
    AbortArtifact,
    Aborted,
    Answer,
    BackupJob,
    CheckRun,
    ClaimRun,
    CloseArtifact,
    Closed,
    Current,
    DownloadGrant,
    Grant,
    MoreParts,
    OpenArtifact,
    OpenDownload,
    PartReceipt,
    Question,
    Refused,
    RestoreJob,
    SignedPart,
    question_decoder,
)
from contracts.errors import Conflict, Corrupt, ErrorInfo, InvalidInput, NotFound, RunFailed, StrongroomError
from contracts.multipart import MAX_PARTS, base_part_size, part_size, part_start
from contracts.object_keys import artifact_key
from contracts.records import ArtifactRecord, BackupRecord, RestoreRecord, RunKind, RunState, ServiceRecord, UploadRecord
from contracts.subjects import is_reply_inbox, node_of
from contracts.tracing import SpanKind, continued, span
from contracts.wire import encode, utc_now
from daemon.catalog.buckets import RecordChanged, Stored, key
from daemon.catalog.catalog import upload_key
from daemon.keys.custody import Custody, parse_recipient
from daemon.runs.allowance import Allowance
from daemon.runs.runs import Runs
from daemon.runs.transitions import check_current, not_current

log = structlog.get_logger()

FIRST_PARTS = 4
"""How many parts an opened artifact is granted at once; most artifacts need no more."""


class Asks:
    """The handler of `strongroom.agent.<node>.ask`; any number of coordinators share the work."""

    def __init__(self, runs: Runs, custody: Custody, allowance: Allowance) -> None:
        self._runs = runs
        self._allowance = allowance
        self._catalog = runs.catalog
        self._store = runs.store
        self._custody = custody

    async def handle(self, message: Msg) -> None:
        """Answers one question."""
        if not is_reply_inbox(message.reply, agent=True):
            log.warning("ask.reply_refused", subject=message.subject)
            return
        node = node_of(message.subject)
        with continued(message.headers):
            answer = await self.answer(node, message.data)
        await message.respond(encode(answer))

    async def answer(self, node: str, data: bytes) -> Answer:
        """What the agent on `node` is told; every error becomes a `Refused`."""
        try:
            question = question_decoder.decode(data)
            if isinstance(question.ask, CheckRun):
                return await self._answer(node, question)
            name = f"ask.{type(question.ask).__struct_config__.tag}"
            with span(name, kind=SpanKind.SERVER, within=True, run_id=question.ask.run_id):
                return await self._answer(node, question)
        except StrongroomError as exc:
            log.info("ask.refused", node=node, code=exc.code, reason=exc.message)
            return Refused(error=exc.info)
        except Exception:
            log.exception("ask.failed", node=node)
            return Refused(
                error=ErrorInfo(code="internal", message="the coordinator met an error it does not know; see its log")
            )

    async def _answer(self, node: str, question: Question) -> Answer:
        ask = question.ask
        if isinstance(ask, ClaimRun):
            return await self._claim(node, question, ask)
        stored = await self._runs.need(question.run, question.project, question.service, ask.run_id)
        check_current(stored.value, node=node, attempt=ask.attempt)
        if isinstance(ask, CheckRun):
            return Current()
        if isinstance(ask, OpenDownload):
            return await self._download(_restore(stored.value), ask)
        backup = _backup(stored.value)
        if isinstance(ask, OpenArtifact):
            return await self._open(node, backup, ask)
        upload = await self._runs.uploads.need(backup, ask.index)
        if isinstance(ask, MoreParts):
            return await self._grant(backup, upload.value, ask.first, ask.count)
        if isinstance(ask, CloseArtifact):
            return await self._close(node, backup, upload, ask)
        assert isinstance(ask, AbortArtifact)
        if upload.value.closed is not None:
            # A report may be on its way that names it: from here on it goes only with the attempt.
            raise InvalidInput("input.invalid", f"artifact {ask.index} is closed already", field="index")
        await self._runs.uploads.discard(upload)
        await self._runs.quotas.abort(backup, str(ask.index))
        return Aborted()

    async def _claim(self, node: str, question: Question, ask: ClaimRun) -> BackupJob | RestoreJob:
        record = await self._runs.claim(
            question.run, question.project, question.service, ask.run_id, node=node, instance=ask.instance
        )
        if isinstance(record, BackupRecord):
            return BackupJob(
                run_id=record.id,
                attempt=record.attempt,
                project=record.project,
                service=record.service,
                options=record.options,
                recipients=record.recipients,
            )
        restore = _restore(record)
        try:
            backup, service = await self._restore_ends(restore)
        except (NotFound, Conflict) as exc:
            stored = await self._runs.need(RunKind.RESTORE, restore.project, restore.service, restore.id)
            await self._runs.end(RunKind.RESTORE, stored, RunState.FAILED, exc.info)
            raise not_current(restore.id, exc.message) from exc
        return RestoreJob(
            run_id=restore.id,
            attempt=restore.attempt,
            backup_id=backup.id,
            options=service.options,
            target=restore.target,
            artifacts=[artifact for artifact in backup.artifacts if artifact.name in restore.artifacts],
        )

    async def _restore_ends(self, restore: RestoreRecord) -> tuple[BackupRecord, ServiceRecord]:
        """Where a restore reads from and where it goes.  Raises: NotFound, Conflict when one of them went away meanwhile."""
        backup = (await self._catalog.need_backup(restore.project, restore.service, restore.backup_id)).value
        if backup.state is not RunState.COMPLETED:
            message = f"backup {backup.id} is {backup.state}: it cannot be restored any more"
            raise Conflict("backup.not_completed", message)
        service = (await self._catalog.need_service(restore.target.project, restore.target.service)).value
        return backup, service

    async def _open(self, node: str, record: BackupRecord, ask: OpenArtifact) -> Grant:
        upload = UploadRecord(
            project=record.project,
            service=record.service,
            run_id=record.id,
            attempt=record.attempt,
            index=ask.index,
            name=ask.name,
            kind=ask.kind,
            format=ask.format,
            object_key=artifact_key(
                record.project, record.service, record.id, record.attempt, ask.index, ask.name, ask.suffix
            ),
            upload_id="",
            base_part_bytes=base_part_size(ask.estimate_bytes),
            created_at=self._runs.now(),
            attributes=ask.attributes,
        )
        name = upload_key(upload)
        known = await self._catalog.uploads.get(name)
        if known is not None and known.value.closed is not None:
            raise InvalidInput("input.invalid", f"artifact {ask.index} is closed already", field="index")
        if known is None and await self._store.size_of(upload.object_key) is not None:
            # No attempt of this run can have made it: the catalogue has forgotten a backup that had the same id.
            raise RunFailed(
                "upload.occupied", f"the bucket has an object at {upload.object_key} already; it was left as it is"
            )
        if known is None or not known.value.upload_id:
            # The record comes first: cut off after the next line, somebody still knows where to look for parts.
            revision = known.revision if known else await self._catalog.uploads.create(name, upload)
            upload_id = await self._store.begin_upload(upload.object_key)
            upload = msgspec.structs.replace(upload, upload_id=upload_id)
            try:
                await self._catalog.uploads.update(name, upload, revision)
                await self._still_current(node, record)
            except StrongroomError as exc:
                await self._store.abort_upload(upload.object_key, upload_id)
                winner = await self._catalog.uploads.get(name)
                if not isinstance(exc, RecordChanged) or winner is None or not winner.value.upload_id:
                    raise
                upload = winner.value  # the same question, asked twice at once
        else:
            upload = known.value
        return await self._grant(record, upload, 1, FIRST_PARTS)

    async def _clear_if_ended(self, upload: UploadRecord) -> None:
        """A run that was ended while the store joined the parts has left an object that nobody else knows of."""
        stored = await self._catalog.backups.get(key(upload.project, upload.service, upload.run_id))
        if stored is not None:
            await self._runs.remove_if_ended(stored.value, [upload.object_key])

    async def _still_current(self, node: str, record: BackupRecord) -> None:
        """The run may have ended while the store was asked; then whoever ended it did not see this upload."""
        stored = await self._runs.need(RunKind.BACKUP, record.project, record.service, record.id)
        check_current(stored.value, node=node, attempt=record.attempt)

    async def _grant(self, record: BackupRecord, upload: UploadRecord, first: int, count: int) -> Grant:
        """Raises: Conflict `quota.exceeded` where the project's quota ends before the first of these parts."""
        if upload.closed is not None:
            raise InvalidInput("input.invalid", f"artifact {upload.index} is closed already", field="index")
        wanted = range(first, min(first + count, MAX_PARTS + 1))
        allowed = await self._allowance.for_parts(record, upload, wanted)
        expires_at = utc_now() + self._store.url_lifetime
        numbers = [number for number in wanted if part_start(upload.base_part_bytes, number) < allowed]
        urls = await asyncio.gather(
            *(self._store.sign_part(upload.object_key, upload.upload_id, number) for number in numbers)
        )
        return Grant(
            base_part_bytes=upload.base_part_bytes,
            parts=[SignedPart(number, url) for number, url in zip(numbers, urls, strict=True)],
            expires_at=expires_at,
            limit_bytes=allowed if allowed < part_start(upload.base_part_bytes, numbers[-1] + 1) else None,
        )

    async def _close(self, node: str, record: BackupRecord, stored: Stored[UploadRecord], ask: CloseArtifact) -> Closed:
        upload = stored.value
        if upload.closed is not None:
            # Asked before, and perhaps cut off before it was counted.
            await self._runs.quotas.close(record, str(upload.index), upload.closed.stored_bytes)
            return Closed(artifact=upload.closed)
        check_parts(upload, ask.parts, ask.stored_bytes)
        await self._allowance.for_whole(record, upload, ask.stored_bytes)
        artifact = ArtifactRecord(
            name=upload.name,
            kind=upload.kind,
            format=upload.format,
            object_key=upload.object_key,
            stored_bytes=ask.stored_bytes,
            plain_bytes=ask.plain_bytes,
            sha256=ask.sha256,
            attributes=upload.attributes,
        )
        await self._complete(upload, ask)
        size = await self._store.size_of(upload.object_key)
        if size != ask.stored_bytes:
            raise Corrupt(
                "upload.mismatch", f"{upload.name!r} has {size} bytes in the store, but {ask.stored_bytes} were sent"
            )
        closed = msgspec.structs.replace(upload, closed=artifact)
        try:
            await self._catalog.uploads.update(stored.key, closed, stored.revision)
        except RecordChanged:
            again = await self._catalog.uploads.get(stored.key)
            if again is None or again.value.closed != artifact:
                await self._clear_if_ended(upload)
                raise
        # After the record: counted any sooner, a close that is repeated would be granted all its bytes a second time.
        await self._runs.quotas.close(record, str(upload.index), ask.stored_bytes)
        log.info("artifact.closed", node=node, run_id=upload.run_id, artifact=upload.name, stored_bytes=ask.stored_bytes)
        return Closed(artifact=artifact)

    async def _complete(self, upload: UploadRecord, ask: CloseArtifact) -> None:
        try:
            check_held(upload, await self._store.list_parts(upload.object_key, upload.upload_id), ask.parts)
            await self._store.complete_upload(upload.object_key, upload.upload_id, ask.parts)
        except Corrupt as exc:
            # The same question, asked before, may have completed it, when only the answer or the record was lost: then the
            # upload is gone, the object there.
            if exc.code != "store.missing" or await self._store.size_of(upload.object_key) is None:
                raise

    async def _download(self, record: RestoreRecord, ask: OpenDownload) -> DownloadGrant:
        backup = (await self._catalog.need_backup(record.project, record.service, record.backup_id)).value
        artifact = find_artifact(backup, ask.artifact)
        if artifact.name not in record.artifacts or artifact.object_key != ask.object_key:
            raise NotFound("artifact.not_found", f"restore {record.id} does not read {ask.artifact!r}", field="artifact")
        reader = parse_recipient((await self._runs.node_record(record.node)).recipient, "node")
        header, offset = await self._custody.reseal(backup.project, backup.key_id, artifact.object_key, reader)
        return DownloadGrant(
            url=await self._store.sign_get(artifact.object_key),
            expires_at=utc_now() + self._store.url_lifetime,
            header=header,
            payload_offset=offset,
            stored_bytes=artifact.stored_bytes,
        )


def find_artifact(backup: BackupRecord, name: str) -> ArtifactRecord:
    """Raises: NotFound `artifact.not_found` with the names that there are."""
    for artifact in backup.artifacts:
        if artifact.name == name:
            return artifact
    names = ", ".join(repr(artifact.name) for artifact in backup.artifacts)
    raise NotFound("artifact.not_found", f"backup {backup.id} has no artifact {name!r}; it has {names}", field="artifact")


def check_parts(upload: UploadRecord, parts: Sequence[PartReceipt], stored_bytes: int) -> None:
    """Raises: InvalidInput unless the parts are complete, in order, of the granted sizes, and add up."""
    if not parts:
        raise InvalidInput("input.invalid", f"artifact {upload.index} has no parts", field="parts")
    for number, part in enumerate(parts, start=1):
        wanted = part_size(upload.base_part_bytes, number)
        is_last = number == len(parts)
        if part.number != number or part.size_bytes > wanted or (not is_last and part.size_bytes != wanted):
            raise InvalidInput(
                "input.invalid", f"part {number} is not the one that was granted", field=f"parts[{number - 1}]"
            )
    if sum(part.size_bytes for part in parts) != stored_bytes:
        raise InvalidInput("input.invalid", "the parts do not add up to the artifact's size", field="stored_bytes")


def check_held(upload: UploadRecord, held: Sequence[PartReceipt], sent: Sequence[PartReceipt]) -> None:
    """Raises: Corrupt `upload.mismatch` unless the store holds exactly what was sent."""
    if list(held) != list(sent):
        raise Corrupt("upload.mismatch", f"the store holds other parts of {upload.name!r} than the agent sent")


def _backup(record: Any) -> BackupRecord:
    if not isinstance(record, BackupRecord):
        raise InvalidInput("input.invalid", "a restore uploads nothing", field="ask")
    return record


def _restore(record: Any) -> RestoreRecord:
    if not isinstance(record, RestoreRecord):
        raise InvalidInput("input.invalid", "a backup downloads nothing", field="ask")
    return record
