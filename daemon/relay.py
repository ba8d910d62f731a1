"""Passes progress and log lines of running jobs on to observers, after holding them against the run they claim to be of."""

from __future__ import annotations

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError

from contracts.errors import StrongroomError
from contracts.records import RunKind
from contracts.reports import LogLine, Progress, log_decoder, progress_decoder
from contracts.subjects import log_subject, node_of, progress_subject
from daemon.runs.runs import Runs
from daemon.runs.transitions import check_current

log = structlog.get_logger()

_REMEMBERED = 10_000


class Relay:
    """Handlers of `strongroom.agent.<node>.progress` and `.log`.

    A run that was found current is believed for as long as it is remembered: what is passed on is shown, never acted on.
    """

    def __init__(self, client: Client, js: JetStreamContext, runs: Runs) -> None:
        self._client = client
        self._js = js
        self._runs = runs
        self._current: dict[tuple[str, str, str, str, str, int], None] = {}

    async def progress(self, message: Msg) -> None:
        try:
            line = progress_decoder.decode(message.data)
            await self._check(node_of(message.subject), line)
        except StrongroomError as exc:
            log.debug("progress.refused", subject=message.subject, code=exc.code)
            return
        await self._client.publish(progress_subject(line.project, line.service, line.run_id), message.data)

    async def log(self, message: Msg) -> None:
        try:
            line = log_decoder.decode(message.data)
            await self._check(node_of(message.subject), line)
        except StrongroomError as exc:
            log.debug("log.refused", subject=message.subject, code=exc.code)
            return
        try:
            await self._js.publish(log_subject(line.project, line.service, line.run_id), message.data)
        except (APIError, TimeoutError) as exc:
            log.warning("log.lost", run_id=line.run_id, error=str(exc) or type(exc).__name__)

    async def _check(self, node: str, line: Progress | LogLine) -> None:
        seen = (node, line.run, line.project, line.service, line.run_id, line.attempt)
        if seen in self._current:
            return
        stored = await self._runs.need(RunKind(line.run), line.project, line.service, line.run_id)
        check_current(stored.value, node=node, attempt=line.attempt)
        while len(self._current) >= _REMEMBERED:
            del self._current[next(iter(self._current))]
        self._current[seen] = None
