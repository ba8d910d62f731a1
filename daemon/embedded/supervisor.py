"""Children that are kept alive: started in order, restarted when they die, stopped in reverse."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import structlog

from contracts.tasks import cancel_surely
from daemon.embedded.children import Child
from daemon.embedded.errors import ChildFailed

log = structlog.get_logger()

_LOG_CHECK_INTERVAL_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before a restart, and when to give up."""

    first_s: float = 0.2
    longest_s: float = 10.0
    attempts: int = 8
    """Starts in a row without a settled life before the child is given up."""
    settled_s: float = 60.0
    """A child that lived this long begins anew."""

    def delay_s(self, attempt: int) -> float:
        """The wait before the n-th restart in a row, from 1."""
        return min(self.longest_s, self.first_s * 2.0 ** (attempt - 1))


class Supervisor:
    """Runs children for the length of an `async with` block.

    A child that cannot be kept alive ends the block: its body is cancelled, the other children are stopped, and the block
    raises ChildFailed.  Leaving the block stops every child, last started first, whatever happens to the others.
    """

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()
        self._children: list[Child] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._group = asyncio.TaskGroup()

    @property
    def children(self) -> tuple[Child, ...]:
        return tuple(self._children)

    async def start(self, child: Child) -> None:
        """Starts the child and keeps it alive from then on.  Raises: ChildFailed; the child is not kept then."""
        await child.start()
        self._children.append(child)
        self._keepers.append(self._group.create_task(self._keep(child), name=f"child:{child.name}"))
        log.info("child.started", child=child.name, pid=child.pid)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._keepers.append(self._group.create_task(self._trim_logs(), name="child-logs"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = False
        try:
            await cancel_surely(*self._keepers)
        except asyncio.CancelledError:
            interrupted = True
        stop_errors, interrupted = await self._stop_all(interrupted=interrupted)
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            # One cause is raised as itself: callers look for StrongroomError, not for groups of them.
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from group.exceptions[0].__cause__
            raise
        if interrupted:
            raise asyncio.CancelledError
        if stop_errors and error is None:
            raise stop_errors[0]

    async def _stop_all(self, *, interrupted: bool) -> tuple[list[Exception], bool]:
        """Errors of the stops, and whether a cancellation came in between: from then on children are killed."""
        errors: list[Exception] = []
        for child in reversed(self._children):
            try:
                await (child.kill() if interrupted else child.stop())
            except asyncio.CancelledError:
                interrupted = True
            except Exception as exc:  # whatever it is, the other children must be stopped
                log.exception("child.stop_failed", child=child.name)
                errors.append(exc)
            else:
                log.info("child.stopped", child=child.name)
        return errors, interrupted

    async def _keep(self, child: Child) -> None:
        attempt = 0
        while True:
            started = time.monotonic()
            status = await child.wait()
            child.spec.cleanup()
            if time.monotonic() - started >= self._backoff.settled_s:
                attempt = 0
            log.error("child.died", child=child.name, exit_status=status, log_tail=child.log.tail())
            attempt = await self._restart(child, attempt, status)

    async def _restart(self, child: Child, attempt: int, status: int) -> int:
        """The number of the attempt that succeeded.  Raises: ChildFailed when all are used up."""
        failure = child.failure(f"keeps dying (last status {status})", status)
        while attempt < self._backoff.attempts:
            attempt += 1
            await asyncio.sleep(self._backoff.delay_s(attempt))
            try:
                await child.start()
            except ChildFailed as exc:
                failure = exc
                log.warning("child.restart_failed", child=child.name, attempt=attempt, error=exc.message)
            else:
                child.restarts += 1
                log.warning("child.restarted", child=child.name, attempt=attempt, pid=child.pid)
                return attempt
        log.error("child.given_up", child=child.name, attempts=attempt)
        raise failure

    async def _trim_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_INTERVAL_S)
            for child in self._children:
                if await asyncio.to_thread(child.log.trim):
                    log.info("child.log_trimmed", child=child.name)
