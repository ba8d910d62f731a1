"""Calling `strongroom` as a person or a program does, and reading what it says."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

TOP = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ended:
    """A call that has ended."""

    argv: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What was to be seen, without the marks of colours and cursors."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.out)

    @property
    def document(self) -> Any:
        """What `--json` printed: exactly one document."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error's document: exactly one, and nothing beside it."""
        error: dict[str, Any] = json.loads(self.err)["error"]
        return error

    def ok(self) -> Ended:
        assert self.status == 0, f"{' '.join(self.argv)} ended with {self.status}\n{self.out}{self.err}"
        assert "Traceback" not in self.err
        return self

    def failed(self, status: int, code: str = "") -> Ended:
        assert self.status == status, f"{' '.join(self.argv)} ended with {self.status}, not {status}\n{self.out}{self.err}"
        assert "Traceback" not in self.out + self.err
        if code:
            found = self.error["code"] if "--json" in self.argv else self.err
            assert code in found, self.err
        return self


class Zygote:
    """The process that forks for each call."""

    def __init__(self) -> None:
        # Packets, so that two requests are never read as one.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sending = threading.Lock()
        self._channel = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.daemon.cli.zygote", str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=TOP
        )
        theirs.close()

    def call(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        streams: Sequence[int],
        started: Callable[[int], None] | None = None,
    ) -> int:
        """The exit status; `started` is told the process id."""
        request = json.dumps({"argv": list(argv), "env": dict(env), "cwd": str(cwd)}).encode()
        answers, answering = os.pipe()
        with os.fdopen(answers) as lines:
            try:
                with self._sending:
                    socket.send_fds(self._channel, [request], [*streams, answering])
            finally:
                os.close(answering)
            pid = int(lines.readline())
            if started is not None:
                started(pid)
            return int(lines.readline())

    def close(self) -> None:
        self._channel.close()
        self._process.wait(10)


class Strongroom:
    """The command `strongroom` for one operator, in a directory of its own."""

    def __init__(self, zygote: Zygote, home: Path, config: Path | None) -> None:
        self.home = home
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home)}
        if config is not None:
            self.env["STRONGROOM_CONFIG"] = str(config)
        self._zygote = zygote

    def __call__(self, *argv: str, **env: str) -> Ended:
        """Runs the command to its end, with files for its streams."""
        return self._to_files(argv, env)

    def json(self, *argv: str) -> Any:
        """The document that the command prints with `--json`."""
        return self(*argv, "--json").ok().document

    async def beside(self, *argv: str, **env: str) -> Ended:
        """The same while the test's event loop goes on."""
        return await asyncio.to_thread(self._to_files, argv, env)

    @contextmanager
    def started(self, *argv: str, **env: str) -> Iterator[Started]:
        """A call under way; what is still running at the end is killed."""
        call = Started()
        thread = threading.Thread(target=lambda: call.end(self._to_files(argv, env, call.begin)))
        thread.start()
        try:
            call.wait_begun()
            yield call
        finally:
            if thread.is_alive():
                os.kill(call.pid, signal.SIGKILL)
            thread.join()

    def on_terminal(self, *argv: str, types: str = "", after: str = "", columns: int = 100, **env: str) -> Ended:
        """Runs the command on a terminal, where somebody types, at once or after something is to be seen; `out` is all that
        was to be seen."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        seen = bytearray()

        def read() -> None:
            is_typed = not after
            try:
                while data := os.read(controller, 65536):
                    seen.extend(data)
                    if not is_typed and after.encode() in seen:
                        os.write(controller, types.encode())
                        is_typed = True
            except OSError:
                return  # the last one closed the terminal

        reader = threading.Thread(target=read)
        reader.start()
        try:
            if not after:
                os.write(controller, types.encode())
            environment = {**self.env, "TERM": "xterm-256color", **env}
            status = self._zygote.call(argv, environment, self.home, [terminal] * 3)
        finally:
            os.close(terminal)
            reader.join()
            os.close(controller)
        return Ended(argv, status, seen.decode(errors="replace").replace("\r\n", "\n"), "")

    def interrupted_on_terminal(self, *argv: str, when: str, columns: int = 100, **env: str) -> Ended:
        """Runs the command on a terminal, and interrupts it as Ctrl-C does once something is to be seen there."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        seen = bytearray()
        begun = threading.Event()
        process: list[int] = []

        def started(pid: int) -> None:
            process.append(pid)
            begun.set()

        def read() -> None:
            interrupted = False
            try:
                while data := os.read(controller, 65536):
                    seen.extend(data)
                    if not interrupted and when in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode(errors="replace")):
                        assert begun.wait(10)
                        os.kill(process[0], signal.SIGINT)
                        interrupted = True
            except OSError:
                return  # the last one closed the terminal

        reader = threading.Thread(target=read)
        reader.start()
        try:
            environment = {**self.env, "TERM": "xterm-256color", **env}
            status = self._zygote.call(argv, environment, self.home, [terminal] * 3, started)
        finally:
            os.close(terminal)
            reader.join()
            os.close(controller)
        return Ended(argv, status, seen.decode(errors="replace").replace("\r\n", "\n"), "")

    def into_closed_pipe(self, *argv: str) -> Ended:
        """Runs the command for a reader that has gone away, as `head -1` does."""
        reading, writing = os.pipe()
        os.close(reading)
        try:
            with tempfile.TemporaryFile() as err, Path(os.devnull).open() as nothing:
                status = self._zygote.call(argv, self.env, self.home, [nothing.fileno(), writing, err.fileno()])
                return Ended(argv, status, "", _content(err))
        finally:
            os.close(writing)

    def _to_files(
        self, argv: tuple[str, ...], env: Mapping[str, str], started: Callable[[int, IO[bytes]], None] | None = None
    ) -> Ended:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open() as nothing:

            def begun(pid: int) -> None:
                if started is not None:
                    started(pid, out)

            streams = [nothing.fileno(), out.fileno(), err.fileno()]
            status = self._zygote.call(argv, {**self.env, **env}, self.home, streams, begun)
            return Ended(argv, status, _content(out), _content(err))


class Started:
    """A call under way."""

    def __init__(self) -> None:
        self.pid = 0
        self._out: IO[bytes] | None = None
        self._begun = threading.Event()
        self._over = threading.Event()
        self._ended: Ended | None = None

    def begin(self, pid: int, out: IO[bytes]) -> None:
        self.pid = pid
        self._out = out
        self._begun.set()

    @property
    def out(self) -> str:
        """What it has printed so far; only while it is under way."""
        assert self._out is not None
        return _content(self._out)

    def end(self, ended: Ended) -> None:
        self._ended = ended
        self._over.set()

    def wait_begun(self) -> None:
        assert self._begun.wait(10), "the call did not begin"

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        os.kill(self.pid, signal.SIGINT)

    def wait(self, timeout_s: float = 30) -> Ended:
        assert self._over.wait(timeout_s), "the call has not ended"
        assert self._ended is not None
        return self._ended


def _content(file: IO[bytes]) -> str:
    """All of it, without moving where the command goes on to write."""
    return os.pread(file.fileno(), 1 << 24, 0).decode()
