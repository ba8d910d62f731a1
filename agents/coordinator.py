"""The coordinator as an agent reaches it: questions with answers, and reports that arrive."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, TypeVar

from nats.aio.client import Client
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext

from contracts.asks import (
    AbortArtifact,
    Aborted,
    Answer,
    Ask,
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
    Question,
    Refused,
    RestoreJob,
    answer_decoder,
)
from contracts.bus import patiently
from contracts.errors import ErrorInfo, StrongroomError, Unavailable, from_info
from contracts.records import ArtifactRecord, RunKind
from contracts.reports import Report, RestoreFinished, RunFailedReport
from contracts.subjects import ask_subject, report_subject
from contracts.tracing import SpanKind, carry, span
from contracts.wire import encode, utc_now

A = TypeVar("A")

_HEADER_ROOM: Final = 1024
"""Headers count towards the server's limit."""

_ANSWER_S: Final = 20.0
_TRY_S: Final = 5.0
_CLOSE_S: Final = 110.0
"""A store may need minutes to join thousands of parts.  The server forgets where to send an answer after two; asking again
finds the object complete."""
_REPORT_PATIENCE_S: Final = 24 * 3600.0
"""The work is done and stored: as long as the agent lives, it tries to say so."""


class Coordinator:
    """Asks and reports in the node's name."""

    def __init__(self, client: Client, js: JetStreamContext, node: str) -> None:
        self._client = client
        self._js = js
        self._node = node

    async def ask(self, run: RunKind, project: str, service: str, ask: Ask, *, timeout_s: float = _ANSWER_S) -> Answer:
        """Raises: StrongroomError, the coordinator's own or Unavailable `bus.unavailable` when none answers."""
        question = encode(Question(run=run, project=project, service=service, ask=ask))
        answer = answer_decoder.decode(await self._request(question, timeout_s))
        if isinstance(answer, Refused):
            raise from_info(answer.error)
        return answer

    async def _request(self, question: bytes, timeout_s: float) -> bytes:
        """The answer as it came.

        Of several coordinators one may have died without a word, and until the server notices it is sent its share of the
        questions.  Asked again, another is likely to get it; what takes the coordinator long is asked once.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_s
        try_s = _TRY_S if timeout_s == _ANSWER_S else timeout_s
        while True:
            try:
                subject = ask_subject(self._node)
                return (await self._client.request(subject, question, timeout=try_s, headers=carry())).data
            except NatsTimeoutError as exc:
                if loop.time() >= give_up_at:
                    raise Unavailable("bus.unavailable", f"no coordinator answered within {timeout_s:.0f} s") from exc
            except (NoRespondersError, ConnectionClosedError) as exc:
                raise Unavailable("bus.unavailable", "no coordinator is running") from exc

    async def report(self, report: Report) -> None:
        """Returns when the report is stored; it is stored once, however often it is sent."""
        # Drawn, not derived: the server compares ids over the whole stream, and another node could take one it can guess.
        message_id = secrets.token_hex(16)
        data = encode(report)
        if len(data) > self._client.max_payload - _HEADER_ROOM:
            # Sent as it is it would be refused again and again; this one says what to change.
            data = encode(_too_large(report, len(data), self._client.max_payload))
        with span("report.publish", kind=SpanKind.PRODUCER, within=True, size_bytes=len(data)):
            headers = carry({"Nats-Msg-Id": message_id})
            await patiently(
                lambda: self._js.publish(report_subject(self._node), data, headers=headers),
                "publish report",
                patience_s=_REPORT_PATIENCE_S,
            )


def _too_large(report: Report, size: int, limit: int) -> RunFailedReport:
    run = RunKind.RESTORE if isinstance(report, RestoreFinished) else RunKind.BACKUP
    message = (
        f"the report on the run has {size} bytes, but the NATS server takes {limit}: raise its max_payload, or split the "
        "service with include and exclude"
    )
    return RunFailedReport(
        run=run,
        project=report.project,
        service=report.service,
        run_id=report.run_id,
        attempt=report.attempt,
        failed_at=utc_now(),
        error=ErrorInfo(code="agent.internal", message=message),
    )


class RunConversation:
    """The questions of one attempt of one run; it is the data path's `GrantClient`."""

    def __init__(self, coordinator: Coordinator, run: RunKind, project: str, service: str, run_id: str) -> None:
        self._coordinator = coordinator
        self.run = run
        self.project = project
        self.service = service
        self.run_id = run_id

    async def claim(self, instance: str) -> BackupJob | RestoreJob:
        answer = await self._ask(ClaimRun(run_id=self.run_id, instance=instance))
        return _expect(answer, BackupJob) if self.run is RunKind.BACKUP else _expect(answer, RestoreJob)

    async def check(self, attempt: int) -> None:
        """Raises: Conflict `run.not_current` when the attempt has no business any more."""
        _expect(await self._ask(CheckRun(run_id=self.run_id, attempt=attempt)), Current)

    async def open(self, ask: OpenArtifact) -> Grant:
        return _expect(await self._ask(ask), Grant)

    async def more(self, ask: MoreParts) -> Grant:
        return _expect(await self._ask(ask), Grant)

    async def close(self, ask: CloseArtifact) -> ArtifactRecord:
        return _expect(await self._ask(ask, timeout_s=_CLOSE_S), Closed).artifact

    async def abort(self, ask: AbortArtifact) -> None:
        _expect(await self._ask(ask), Aborted)

    async def download(self, ask: OpenDownload) -> DownloadGrant:
        return _expect(await self._ask(ask), DownloadGrant)

    async def _ask(self, ask: Ask, *, timeout_s: float = _ANSWER_S) -> Answer:
        return await self._coordinator.ask(self.run, self.project, self.service, ask, timeout_s=timeout_s)


def _expect(answer: Answer, type_: type[A]) -> A:
    if not isinstance(answer, type_):
        raise StrongroomError("internal", f"the coordinator answered {type(answer).__name__} instead of {type_.__name__}")
    return answer
