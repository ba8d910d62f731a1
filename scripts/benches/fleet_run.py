"""One backup as a simulated agent makes it: what `agents.runner` and `agents.backup` say, without a dump.

It claims, opens, really PUTs one tiny part, closes, reports and acknowledges; it sends the progress, the log lines and the
further heartbeats of a short run, renews its request and checks every ten seconds, and asks again like an agent when the
coordinator does not answer in time.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import aiohttp
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from contracts.age import Encryptor, Recipient
from contracts.asks import (
    Answer,
    Ask,
    BackupJob,
    CheckRun,
    ClaimRun,
    CloseArtifact,
    Closed,
    Grant,
    OpenArtifact,
    PartReceipt,
    Question,
    Refused,
    answer_decoder,
)
from contracts.bus import patiently
from contracts.errors import StrongroomError, Unavailable, from_info
from contracts.records import ArtifactRecord, RunKind
from contracts.reports import BackupFinished, LogLine, Progress
from contracts.requests import BackupRequest
from contracts.subjects import agent_log_subject, agent_progress_subject, ask_subject, report_subject
from contracts.wire import encode, utc_now
from scripts.benches.fleet_times import Times

A = TypeVar("A")

_ANSWER_S: Final = 20.0
_CLOSE_S: Final = 110.0
_CHECK_EVERY_S: Final = 10.0
_AGAIN_AFTER_S: Final = 2.0
_PATIENCE_S: Final = 600.0
_DATA: Final = bytes(1_000)
_SHA256: Final = hashlib.sha256(_DATA).hexdigest()


class NotTaken(Exception):
    """The run was not claimed: its request goes back for a while, or is done with."""

    def __init__(self, *, outdated: bool) -> None:
        self.outdated = outdated


class RunTools:
    """What all runs of a fleet share."""

    def __init__(self, client: Client, http: aiohttp.ClientSession, times: Times, artifacts: int) -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=5)
        self.http = http
        self.times = times
        self.artifacts = artifacts
        self._inventories: dict[str, bytes] = {}

    def inventory(self, recipients: list[str]) -> bytes:
        """Some KiB sealed to the recipients; sealed once, for it is not the agent that is measured."""
        name = " ".join(recipients)
        if name not in self._inventories:
            encryptor = Encryptor([Recipient.parse(text) for text in recipients])
            self._inventories[name] = encryptor.preamble + encryptor.update(bytes(2_000)) + encryptor.finish()
        return self._inventories[name]


class SimulatedRun:
    """One request in the hands of a node's agent."""

    def __init__(self, tools: RunTools, node: str, message: Msg, request: BackupRequest) -> None:
        self._tools = tools
        self._times = tools.times
        self._node = node
        self._message = message
        self._request = request
        self._name = f"{request.project}/{request.service}/{request.run_id}"

    async def work(self) -> None:
        """Until the report is stored.  Raises: NotTaken, StrongroomError."""
        job = await self._claim()
        self._times.claimed[self._name] = time.time()
        keeper = asyncio.create_task(self._keep(job.attempt), name="run:keep")
        try:
            started_at = utc_now()
            await self._tell_progress(job)
            await self._log(job, "backup.planned")
            artifacts = []
            for index in range(1, self._tools.artifacts + 1):
                artifacts.append(await self._upload(job, index))
                await self._log(job, "artifact.uploaded")
            report = BackupFinished(
                project=job.project,
                service=job.service,
                run_id=job.run_id,
                attempt=job.attempt,
                started_at=started_at,
                finished_at=utc_now(),
                artifacts=artifacts,
                summary={"databases": len(artifacts), "tables": 40},
                sealed_inventory=self._tools.inventory(job.recipients),
                tools={"pg_dump": "15.18", "postgresql": "15.18"},
            )
            headers = {"Nats-Msg-Id": secrets.token_hex(16)}
            self._times.reported[self._name] = time.time()
            await patiently(
                lambda: self._tools.js.publish(report_subject(self._node), encode(report), headers=headers),
                "publish report",
                patience_s=_PATIENCE_S,
            )
        finally:
            keeper.cancel()

    async def _claim(self) -> BackupJob:
        try:
            ask = ClaimRun(run_id=self._request.run_id, instance=f"bench-{self._node}")
            return await self._ask(ask, "claim", BackupJob)
        except StrongroomError as exc:
            self._times.troubles[f"claim: {exc.code}"] += 1
            raise NotTaken(outdated=not exc.retryable) from exc

    async def _upload(self, job: BackupJob, index: int) -> ArtifactRecord:
        opening = OpenArtifact(
            run_id=job.run_id,
            attempt=job.attempt,
            index=index,
            name=f"database-{index}",
            kind="database",
            format="pg_dump-custom",
            suffix="pgdump.zst.age",
            estimate_bytes=len(_DATA),
            attributes={"encoding": "UTF8", "owner": "app"},
        )
        grant = await self._again(lambda: self._ask(opening, "open", Grant))
        began = time.perf_counter()
        async with self._tools.http.put(grant.parts[0].url, data=_DATA) as response:
            response.raise_for_status()
            etag = response.headers["ETag"].strip('"')
        self._times.asks.setdefault("put", []).append(time.perf_counter() - began)
        closing = CloseArtifact(
            run_id=job.run_id,
            attempt=job.attempt,
            index=index,
            parts=[PartReceipt(1, len(_DATA), etag)],
            stored_bytes=len(_DATA),
            plain_bytes=4 * len(_DATA),
            sha256=_SHA256,
        )
        return (await self._again(lambda: self._ask(closing, "close", Closed, _CLOSE_S))).artifact

    async def _again(self, call: Callable[[], Awaitable[A]]) -> A:
        """As an agent's data path asks: again while the coordinator is merely unavailable."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return await call()
            except StrongroomError as exc:
                self._times.troubles[f"ask: {exc.code}"] += 1
                if not exc.retryable or time.monotonic() > give_up_at:
                    raise
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def _ask(self, ask: Ask, kind: str, expected: type[A], timeout_s: float = _ANSWER_S) -> A:
        request = self._request
        question = Question(run=RunKind.BACKUP, project=request.project, service=request.service, ask=ask)
        began = time.perf_counter()
        try:
            message = await self._tools.client.request(ask_subject(self._node), encode(question), timeout=timeout_s)
        except NatsError as exc:
            raise Unavailable("bus.unavailable", f"no coordinator answered within {timeout_s:.0f} s") from exc
        self._times.asks.setdefault(kind, []).append(time.perf_counter() - began)
        answer: Answer = answer_decoder.decode(message.data)
        if isinstance(answer, Refused):
            raise from_info(answer.error)
        assert isinstance(answer, expected)
        return answer

    async def _keep(self, attempt: int) -> None:
        """Most runs of the bench are over before it has anything to do."""
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            await self._message.in_progress()
            try:
                await self._ask(CheckRun(run_id=self._request.run_id, attempt=attempt), "check", object)
            except StrongroomError as exc:
                self._times.troubles[f"check: {exc.code}"] += 1

    async def _tell_progress(self, job: BackupJob) -> None:
        progress = Progress(
            run=RunKind.BACKUP,
            project=job.project,
            service=job.service,
            run_id=job.run_id,
            attempt=job.attempt,
            phase="preparing",
            artifact="",
            artifact_index=0,
            artifact_count=0,
            plain_bytes=0,
            stored_bytes=0,
            estimate_bytes=0,
            elapsed_s=0.0,
        )
        await self._tools.client.publish(agent_progress_subject(self._node), encode(progress))

    async def _log(self, job: BackupJob, event: str) -> None:
        line = LogLine(
            run=RunKind.BACKUP,
            project=job.project,
            service=job.service,
            run_id=job.run_id,
            attempt=job.attempt,
            at=utc_now(),
            level="info",
            event=event,
            fields={"artifact": "database-1", "plain_bytes": 4 * len(_DATA), "stored_bytes": len(_DATA), "parts": 1},
        )
        await self._tools.client.publish(agent_log_subject(self._node), encode(line))
