"""Log lines of jobs, sent to the coordinator beside being written here.

Whatever is logged while a run is bound to the context goes along; losing the connection loses lines, never work.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts.records import RunKind
from contracts.reports import LogLine
from contracts.subjects import agent_log_subject
from contracts.wire import encode, utc_now

_WAITING_LINES: Final = 2_000
"""More than a job logs in minutes; beyond it the oldest line gives way."""
_OWN_KEYS: Final = frozenset({"run", "project", "service", "run_id", "attempt", "event", "level", "timestamp"})


class JobLogs:
    """A structlog processor, and the task that sends what it saw."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[LogLine] = asyncio.Queue(_WAITING_LINES)
        self._loop = asyncio.get_running_loop()

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Takes a copy of lines that belong to a run; may be called from any thread."""
        if "run_id" in event and "attempt" in event:
            line = LogLine(
                run=RunKind(event["run"]),
                project=event["project"],
                service=event["service"],
                run_id=event["run_id"],
                attempt=event["attempt"],
                at=utc_now(),
                level=str(event.get("level", "info")),
                event=str(event["event"]),
                fields={name: _plain(value) for name, value in event.items() if name not in _OWN_KEYS},
            )
            self._loop.call_soon_threadsafe(self._put, line)
        return event

    async def send(self, client: Client, node: str) -> None:
        """Until cancelled."""
        subject = agent_log_subject(node)
        while True:
            line = await self._lines.get()
            try:
                await client.publish(subject, encode(line))
            except (NatsError, msgspec.MsgspecError):
                # It was written to the local log all the same.
                continue

    def _put(self, line: LogLine) -> None:
        if self._lines.full():
            self._lines.get_nowait()
        self._lines.put_nowait(line)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
