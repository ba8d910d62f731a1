"""An agent's side of the protocol, spoken by a test sentence by sentence: real subjects, real signed URLs, no driver."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import aiohttp
import zstandard
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts.age import Encryptor, Identity, Recipient
from contracts.asks import (
    Answer,
    Ask,
    BackupJob,
    ClaimRun,
    CloseArtifact,
    Closed,
    Grant,
    OpenArtifact,
    PartReceipt,
    Question,
    Refused,
    RestoreJob,
    answer_decoder,
)
from contracts.errors import from_info
from contracts.records import ArtifactRecord, BackupRecord, EngineHealth, RunKind, RunRef
from contracts.reports import BackupFinished, Heartbeat, Report
from contracts.requests import Request, request_decoder
from contracts.subjects import REQUESTS_STREAM, ask_subject, heartbeat_subject, report_subject
from contracts.wire import encode, utc_now


class SpeakingAgent:
    """Says what it is told to, in a node's name."""

    def __init__(self, client: Client, node: str, instance: str = "first") -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=5)
        self.node = node
        self.instance = instance
        self.identity = Identity.generate()
        self.version = "test"
        self.started_at = utc_now()

    async def beat(self, running: list[RunRef] | None = None, services: dict[str, EngineHealth] | None = None) -> None:
        heartbeat = Heartbeat(
            sent_at=utc_now(),
            started_at=self.started_at,
            agent_version=self.version,
            recipient=str(self.identity.recipient),
            services=services or {},
            running=running or [],
        )
        await self.client.publish(heartbeat_subject(self.node), encode(heartbeat))
        await self.client.flush()

    async def pull(self) -> Request:
        """The next request, acknowledged at once."""
        subscription = await self.js.pull_subscribe_bind(consumer=self.node, stream=REQUESTS_STREAM)
        (message,) = await subscription.fetch(1, timeout=10)
        await message.ack_sync()
        await subscription.unsubscribe()
        return request_decoder.decode(message.data)

    async def ask(self, run: BackupRecord | Any, ask: Ask, *, kind: RunKind = RunKind.BACKUP) -> Answer:
        """Raises: StrongroomError when refused."""
        answer = await self.ask_raw(encode(Question(run=kind, project=run.project, service=run.service, ask=ask)))
        if isinstance(answer, Refused):
            raise from_info(answer.error)
        return answer

    async def ask_raw(self, data: bytes) -> Answer:
        message = await self.client.request(ask_subject(self.node), data, timeout=20)
        return answer_decoder.decode(message.data)

    async def claim(self, run: Any, kind: RunKind = RunKind.BACKUP) -> BackupJob | RestoreJob:
        answer = await self.ask(run, ClaimRun(run_id=run.id, instance=self.instance), kind=kind)
        assert isinstance(answer, BackupJob | RestoreJob)
        return answer

    async def open(self, run: BackupRecord, attempt: int = 1, index: int = 1, name: str = "orders") -> Grant:
        ask = OpenArtifact(
            run_id=run.id,
            attempt=attempt,
            index=index,
            name=name,
            kind="database",
            format="pg_dump-custom",
            suffix="pgdump.zst.age",
            estimate_bytes=1000,
            attributes={"encoding": "UTF8"},
        )
        answer = await self.ask(run, ask)
        assert isinstance(answer, Grant)
        return answer

    async def put(self, grant: Grant, data: bytes, number: int = 1) -> PartReceipt:
        url = next(part.url for part in grant.parts if part.number == number)
        async with aiohttp.ClientSession() as http, http.put(url, data=io.BytesIO(data)) as response:
            response.raise_for_status()
            return PartReceipt(number, len(data), response.headers["ETag"].strip('"'))

    def closing(
        self, run: BackupRecord, data: bytes, *parts: PartReceipt, attempt: int = 1, index: int = 1
    ) -> CloseArtifact:
        return CloseArtifact(
            run_id=run.id,
            attempt=attempt,
            index=index,
            parts=list(parts),
            stored_bytes=len(data),
            plain_bytes=2 * len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )

    async def upload(
        self, run: BackupRecord, data: bytes, *, attempt: int = 1, index: int = 1, name: str = "orders"
    ) -> ArtifactRecord:
        """One artifact of one part, closed."""
        grant = await self.open(run, attempt, index, name)
        part = await self.put(grant, data)
        answer = await self.ask(run, self.closing(run, data, part, attempt=attempt, index=index))
        assert isinstance(answer, Closed)
        return answer.artifact

    def finished(self, run: BackupRecord, *artifacts: ArtifactRecord, attempt: int = 1) -> BackupFinished:
        return BackupFinished(
            project=run.project,
            service=run.service,
            run_id=run.id,
            attempt=attempt,
            started_at=utc_now(),
            finished_at=utc_now(),
            artifacts=list(artifacts),
            summary={"databases": len(artifacts)},
            sealed_inventory=sealed(zstandard.compress(b"{}"), run.recipients),
            tools={"pg_dump": "15"},
        )

    async def report(self, report: Report, message_id: str = "") -> None:
        """Returns when the report is stored; what it does is for the test to wait for."""
        headers = {"Nats-Msg-Id": message_id} if message_id else None
        await self.js.publish(report_subject(self.node), encode(report), headers=headers)


def sealed(plain: bytes, recipients: list[str]) -> bytes:
    """An age file for the recipients."""
    encryptor = Encryptor([Recipient.parse(text) for text in recipients])
    return encryptor.preamble + encryptor.update(plain) + encryptor.finish()
