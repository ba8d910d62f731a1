"""A server as a child process: ready or failed with a reason, stopped in order, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.embedded.child_log import ChildLog
from daemon.embedded.errors import ChildFailed, PortTaken
from daemon.embedded.private_files import make_private_dir

_PROBE_INTERVAL_S: Final = 0.05
_KILL_WAIT_S: Final = 10.0


def _nothing() -> None:
    """No cleanup."""


def plain_environment() -> dict[str, str]:
    """What a child is told of our environment: nothing that would configure it, or let anybody in.

    SeaweedFS, for one, would accept the AWS keys of the coordinator as a login.
    """
    return {key: os.environ[key] for key in ("PATH", "TZ", "LANG", "LC_ALL") if key in os.environ}


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """What to run, and how to know that it works."""

    name: str
    argv: Sequence[str]
    directory: Path
    """The working directory, made when absent."""
    ready: Callable[[], Awaitable[bool]]
    """Whether the server serves; asked again and again after a start, and never at the same time twice."""
    error_code: str
    """The code of errors about this child, such as `bus.unavailable`."""
    environment: Mapping[str, str] = field(default_factory=plain_environment)
    ready_timeout_s: float = 30.0
    stop_grace_s: float = 10.0
    cleanup: Callable[[], None] = _nothing
    """Removes what the server leaves outside its directory; called after every end, and twice does no harm."""


class Child:
    """A process in a session of its own, so that Ctrl-C reaches only the parent, which then stops it in order.

    It dies with the parent, whatever kills that (where `setpriv` exists, which is everywhere on Linux).
    """

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.log = ChildLog(spec.directory / f"{spec.name}.log")
        self.restarts = 0
        """How often it came back after dying unexpectedly."""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Returns when the server serves.

        Raises: ChildFailed, PortTaken with the end of the log; after an error or a cancellation nothing runs.
        """
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        await self._spawn()
        try:
            await self._wait_ready()
        except BaseException:
            await self.kill()
            raise

    async def wait(self) -> int:
        """The exit status, once the process has ended; negative for a signal."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace, or at once when cancelled.  Repeating it does no harm."""
        if self._process is None:
            return
        try:
            self.send(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.spec.stop_grace_s):
                    await self._process.wait()
        finally:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL to the process and all it started; returns when the process is gone and reaped."""
        if self._process is None:
            return
        if self.running:  # else its number may belong to somebody else by now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        try:
            async with asyncio.timeout(_KILL_WAIT_S):  # longer only for a process that hangs in the kernel
                await self._process.wait()
        finally:
            self.spec.cleanup()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process, if it runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def failure(self, what: str, exit_status: int | None = None) -> ChildFailed:
        """The error for this child, with the end of its log."""
        tail = self.log.tail()
        kind = PortTaken if "address already in use" in tail.lower() else ChildFailed
        return kind(self.spec.error_code, self.name, what, log_tail=tail, exit_status=exit_status)

    async def _spawn(self) -> None:
        make_private_dir(self.spec.directory)
        setpriv = shutil.which("setpriv")
        prefix = (setpriv, "--pdeathsig=KILL", "--") if setpriv else ()
        log = self.log.open()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *prefix,
                *self.spec.argv,
                cwd=self.spec.directory,
                env=dict(self.spec.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as exc:
            raise self.failure(f"could not be started: {exc}") from exc
        finally:
            os.close(log)

    async def _wait_ready(self) -> None:
        assert self._process is not None
        ended = asyncio.create_task(self._process.wait(), name=f"child-end:{self.name}")
        probe = asyncio.create_task(self._probe(), name=f"child-probe:{self.name}")
        try:
            await asyncio.wait({ended, probe}, timeout=self.spec.ready_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise self.failure(f"ended with status {ended.result()} before it was ready", ended.result())
            if not probe.done():
                raise self.failure(f"was not ready after {self.spec.ready_timeout_s:g} s")
            probe.result()
        finally:
            for task in (ended, probe):
                task.cancel()
            await asyncio.gather(ended, probe, return_exceptions=True)

    async def _probe(self) -> None:
        while True:
            if await self.spec.ready():
                return
            await asyncio.sleep(_PROBE_INTERVAL_S)
