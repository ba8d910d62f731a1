"""A program that the agent runs: raw pipes, a bounded tail of its standard error, and never anything left of it.

    async with start(Command(argv=["pg_dump", "-Fc"], package="postgresql-client"), stdout=True) as child:
        ...                        # a thread reads child.stdout_fd to its end
        status = await child.wait()

Not `asyncio.subprocess`, because its pipes pass every byte through the event loop, and because a signal must never reach
a process that only inherited the number: here the program is reaped after its last signal, not before.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final, TypeVar

import structlog

from contracts.errors import RunFailed

T = TypeVar("T")

log = structlog.get_logger()

STDERR_TAIL_BYTES: Final = 8192
PIPE_BYTES: Final = 1024 * 1024
"""What Linux allows everybody (`fs.pipe-max-size`)."""
_SLACK_BYTES: Final = 4096
"""Kept beyond the tail and cut off, so that a secret of which only the end is left does not show."""
_ENDLESS_LINE_CHARS: Final = 2048
"""Less than the characters in tail and slack, even if each takes four bytes."""
_UNKILLABLE_S: Final = 30.0
_READ_BYTES: Final = 65536
_LAST_READS: Final = 64
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program and how to run it.  Secrets belong neither into `argv` nor into `env`: both can be read by others."""

    argv: Sequence[str]
    package: str = ""
    """The Debian package that has the program, for the operator who misses it."""
    env: Mapping[str, str] = field(default_factory=dict)
    """In addition to `PATH` and a UTF-8 locale without translations; nothing else is inherited."""
    pass_fds: Sequence[int] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    """From `stop_signal` to SIGKILL."""
    redact: Callable[[str], str] = str
    """Applied to the tail of standard error before anybody sees it."""
    hear: Callable[[bytes], None] | None = None
    """Called with each piece of standard error as it comes, unredacted, of which otherwise only the tail is kept."""

    @property
    def name(self) -> str:
        return PurePath(self.argv[0]).name


@dataclass(frozen=True)
class ExitStatus:
    """How a program ended: exactly one of both is set."""

    code: int | None = None
    signal: int | None = None

    @property
    def ok(self) -> bool:
        return self.code == 0

    def __str__(self) -> str:
        if self.signal is None:
            return f"ended with status {self.code}"
        try:
            return f"was killed by {signal.Signals(self.signal).name}"
        except ValueError:
            return f"was killed by signal {self.signal}"


@dataclass(frozen=True)
class Finished:
    """A program that has ended, and what it said."""

    status: ExitStatus
    stdout: bytes
    stderr: str


class OutputTooLargeError(Exception):
    """A program wrote more than its caller can take."""


class Child:
    """A program under way; see `start`."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes], stderr_fd: int) -> None:
        self.command = command
        self.stdin_fd = -1
        """Writable and blocking, if asked for.  Ours until `close_stdin`."""
        self.stdout_fd = -1
        """Readable and blocking, if asked for.  Closed on leaving, after the program has ended."""
        self._process = process
        self._stderr_fd = stderr_fd
        self._tail = bytearray()
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[ExitStatus] = self._loop.create_future()
        os.set_blocking(stderr_fd, False)
        self._loop.add_reader(stderr_fd, self._read_stderr)
        self._watch()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return not self._ended.done()

    async def wait(self) -> ExitStatus:
        """Returns when the program has ended and all it said is in `stderr`.  May be called again."""
        return await asyncio.shield(self._ended)

    @property
    def stderr(self) -> str:
        """The end of what it wrote to standard error so far, redacted."""
        kept = bytes(self._tail)
        if len(kept) <= STDERR_TAIL_BYTES:
            return self._readable(kept)
        whole_lines = kept[-STDERR_TAIL_BYTES - 1 :].partition(b"\n")[2]
        # One endless line: redacted as a whole, of which the first part goes, where half a secret may have been.
        return self._readable(whole_lines) or self._readable(kept)[-_ENDLESS_LINE_CHARS:]

    def signal(self, number: signal.Signals) -> None:
        """Sends it to the program and whatever that started; does nothing after its end."""
        if self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def close_stdin(self) -> None:
        """End of input for the program.  Nobody may be writing any more; may be called again."""
        if self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1

    async def stop(self) -> None:
        """Returns when the program has ended, by itself or by our signals."""
        if not self.running:
            return
        self.signal(self.command.stop_signal)
        self.signal(signal.SIGCONT)  # one that was stopped could not act upon the first signal
        try:
            await asyncio.wait([self._ended], timeout=self.command.grace_s)
        finally:  # also when the whole event loop is coming to its end
            self.signal(signal.SIGKILL)
        await asyncio.wait([self._ended], timeout=_UNKILLABLE_S)
        if self.running:  # stuck in the kernel, on a dead network file system perhaps: nothing more can be done from here
            log.error("process.unkillable", program=self.command.name, pid=self.pid)

    def close(self) -> None:
        """Closes what is ours of the pipes."""
        self.close_stdin()
        if self.stdout_fd >= 0:
            os.close(self.stdout_fd)
            self.stdout_fd = -1
        self._close_stderr()

    def _watch(self) -> None:
        """Has `_reap` called when the program has ended but is not yet reaped: until then its number is nobody else's."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:  # an old kernel, or a sandbox that does not know the call
            threading.Thread(target=self._wait_in_thread, name=f"wait:{self.command.name}", daemon=True).start()
            return

        def ended() -> None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
            self._reap()

        self._loop.add_reader(pidfd, ended)

    def _wait_in_thread(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop has been closed: there is nobody to tell
            self._loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # whatever it started must not outlive it, nor hold its pipes open
        code = self._process.wait()
        for _ in range(_LAST_READS):  # bounded, since something in another session may go on writing for ever
            if not self._read_stderr():
                break
        self._close_stderr()
        self._ended.set_result(ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code))

    def _readable(self, stderr: bytes) -> str:
        return self.command.redact(stderr.decode(errors="replace")).strip()

    def _read_stderr(self) -> bool:
        """Whether there may be more at once."""
        if self._stderr_fd < 0:
            return False
        try:
            data = os.read(self._stderr_fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close_stderr()
            return False
        if self.command.hear is not None:
            self.command.hear(data)
        self._tail += data
        del self._tail[: -(STDERR_TAIL_BYTES + _SLACK_BYTES)]
        return True

    def _close_stderr(self) -> None:
        if self._stderr_fd >= 0:
            self._loop.remove_reader(self._stderr_fd)
            os.close(self._stderr_fd)
            self._stderr_fd = -1


@asynccontextmanager
async def start(command: Command, *, stdin: bool = False, stdout: bool = False) -> AsyncIterator[Child]:
    """The program under way, in a session of its own; leaving ends it, reaps it and closes its pipes, also on cancellation.

    With `stdin` and `stdout` there are pipes of up to 1 MiB; otherwise it reads nothing, and what it writes is dropped.
    Raises: RunFailed `engine.tool_missing` when there is no such program.
    """
    child = _spawn(command, stdin=stdin, stdout=stdout)
    try:
        yield child
    finally:
        try:
            await uncancelled(child.stop(), name=f"stop:{command.name}")
        finally:
            child.close()


async def run(command: Command, *, stdin: bytes = b"", timeout_s: float, limit_bytes: int = 64 * 1024 * 1024) -> Finished:
    """Feeds a program and collects what it writes, until it has ended.

    Raises: TimeoutError, OutputTooLargeError, RunFailed `engine.tool_missing`; the program has ended then, too.
    """
    async with asyncio.timeout(timeout_s), start(command, stdin=True, stdout=True) as child:
        feeder = asyncio.create_task(_feed(child, stdin), name=f"feed:{command.name}")
        try:
            stdout = await _collect(child.stdout_fd, limit_bytes)
            status = await child.wait()
        finally:
            feeder.cancel()
            await asyncio.wait([feeder])
        if not feeder.cancelled():
            feeder.result()
    return Finished(status, stdout, child.stderr)


async def uncancelled(work: Coroutine[Any, Any, T], *, name: str) -> T:
    """The work's result, after it has ended by itself: a cancellation that arrives meanwhile is raised afterwards.

    For what must not be left half-done.  The work bounds its own duration.
    """
    task = asyncio.create_task(work, name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.warning("cleanup.failed", work=name, error=str(failure))
        raise cancelled
    return task.result()


def minimal_environment() -> dict[str, str]:
    """What a program gets in any case: the search path, and messages in English, since ours are read by programs too."""
    return {"PATH": os.environ.get("PATH", _DEFAULT_PATH), "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}


def _spawn(command: Command, *, stdin: bool, stdout: bool) -> Child:
    ours: dict[str, int] = {}
    theirs: dict[str, int] = {}
    try:
        if stdin:
            theirs["stdin"], ours["stdin"] = pipe()
        if stdout:
            ours["stdout"], theirs["stdout"] = pipe()
        ours["stderr"], theirs["stderr"] = os.pipe()
        process = _popen(command, theirs)
        child = Child(command, process, ours.pop("stderr"))
        child.stdin_fd = ours.pop("stdin", -1)
        child.stdout_fd = ours.pop("stdout", -1)
        return child
    finally:
        for fd in (*theirs.values(), *ours.values()):
            os.close(fd)


def _popen(command: Command, fds: Mapping[str, int]) -> subprocess.Popen[bytes]:
    environment = {**minimal_environment(), **command.env}
    argv = list(command.argv)
    setpriv = shutil.which("setpriv")
    if setpriv and shutil.which(argv[0], path=environment["PATH"]):
        # An agent that is killed takes its tools with it: one that waits for a lock would hold its own for ever.
        argv = [setpriv, "--pdeathsig=KILL", "--", *argv]
    try:
        return subprocess.Popen(
            [_encode(argument) for argument in argv],
            stdin=fds.get("stdin", subprocess.DEVNULL),
            stdout=fds.get("stdout", subprocess.DEVNULL),
            stderr=fds["stderr"],
            env={_encode(name): _encode(value) for name, value in environment.items()},
            pass_fds=tuple(command.pass_fds),
            start_new_session=True,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as exc:
        hint = f": install it with apt-get install {command.package}" if command.package else ""
        why = "may not be executed" if isinstance(exc, PermissionError) else "is not installed"
        raise RunFailed("engine.tool_missing", f"the program {command.argv[0]} {why}{hint}") from exc


def _encode(text: str) -> bytes:
    """UTF-8 whatever the agent's own locale is: names of databases are arguments and variables, too."""
    return text.encode("utf-8", "surrogateescape")


def pipe() -> tuple[int, int]:
    """(readable, writable), both blocking and as large as allowed: both sides need not wait for each other as often."""
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):  # refused to a user who has many large pipes already
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


async def _feed(child: Child, data: bytes) -> None:
    os.set_blocking(child.stdin_fd, False)
    try:
        await write_all(child.stdin_fd, data)
    except BrokenPipeError:
        pass  # it does not want any more; its exit status tells whether that is right
    finally:
        child.close_stdin()


async def _collect(fd: int, limit_bytes: int) -> bytes:
    os.set_blocking(fd, False)
    collected = bytearray()
    while True:
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            await until_readable(fd)
            continue
        if not data:
            return bytes(collected)
        collected += data
        if len(collected) > limit_bytes:
            raise OutputTooLargeError(f"more than {limit_bytes} bytes")


async def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Returns when the pipe, which does not block, has taken all of it.  Raises: BrokenPipeError when nobody reads it."""
    view = memoryview(data).cast("B")
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await until_writable(fd)


async def until_readable(fd: int) -> None:
    """Returns when a read would not block: there are bytes, or nobody holds the other end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _set_ready, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def until_writable(fd: int) -> None:
    """Returns when a write would not block: there is room, or nobody holds the other end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(fd, _set_ready, ready)
    try:
        await ready
    finally:
        loop.remove_writer(fd)


def _set_ready(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
