"""Calling `strongroom` as a person or a program does, and reading what it says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ended:
    """A call that has ended."""

    argv: tuple[str, ...]
    status: int
    out: str
    err: str

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
    """The process that forks for each call; one call at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._channel = ours
        self._lines = ours.makefile("r")
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.daemon.cli.zygote", str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=TOP
        )
        theirs.close()

    def call(
        self, argv: tuple[str, ...], env: Mapping[str, str], cwd: Path, started: Callable[[int], None] | None = None
    ) -> Ended:
        with (
            self._one_at_a_time,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            Path(os.devnull).open() as nothing,
        ):
            request = json.dumps({"argv": argv, "env": dict(env), "cwd": str(cwd)}).encode()
            socket.send_fds(self._channel, [request], [nothing.fileno(), out.fileno(), err.fileno()])
            pid = int(self._lines.readline())
            if started is not None:
                started(pid)
            status = int(self._lines.readline())
            out.seek(0)
            err.seek(0)
            return Ended(argv, status, out.read().decode(), err.read().decode())

    def close(self) -> None:
        self._channel.close()
        self._lines.close()
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
        """Runs the command to its end."""
        return self._zygote.call(argv, {**self.env, **env}, self.home)

    async def beside(self, *argv: str, **env: str) -> Ended:
        """The same while the test's event loop goes on; cancelled, it interrupts the command."""
        pids: list[int] = []
        call = asyncio.create_task(
            asyncio.to_thread(self._zygote.call, argv, {**self.env, **env}, self.home, pids.append)
        )
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            await call
            raise

    def json(self, *argv: str) -> Any:
        """The document that the command prints with `--json`."""
        return self(*argv, "--json").ok().document

    @contextmanager
    def started(self, *argv: str, **env: str) -> Iterator[Started]:
        """A call under way, to be interrupted."""
        pid = threading.Event()
        pids: list[int] = []
        ended: list[Ended] = []

        def begun(number: int) -> None:
            pids.append(number)
            pid.set()

        def work() -> None:
            ended.append(self._zygote.call(argv, {**self.env, **env}, self.home, begun))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert pid.wait(10), "the call did not begin"
            yield Started(pids[0], thread, ended)
        finally:
            if thread.is_alive():
                os.kill(pids[0], signal.SIGKILL)
            thread.join()


class Started:
    """A call under way."""

    def __init__(self, pid: int, thread: threading.Thread, ended: list[Ended]) -> None:
        self.pid = pid
        self._thread = thread
        self._ended = ended

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        os.kill(self.pid, signal.SIGINT)

    def wait(self, timeout_s: float = 30) -> Ended:
        self._thread.join(timeout_s)
        assert self._ended, "the call has not ended"
        return self._ended[0]
