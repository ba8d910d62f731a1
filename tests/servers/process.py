"""A server as a plain subprocess, started and stopped without an event loop, so that a session can share it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from daemon.embedded.ports import free_ports

_TAIL_BYTES: Final = 4000
_POLL_S: Final = 0.02
_START_ATTEMPTS: Final = 5


class ServerFailed(Exception):
    """The server ended, or gave no sign of readiness; the text holds the end of its log."""


class ServerProcess:
    """One server process in a session of its own; it dies with this process, whatever kills that."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        directory: Path,
        env: Mapping[str, str] | None = None,
        parent_death_signal: str = "KILL",
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.directory = directory
        self.log_path = directory / f"{name}.log"
        self._env = env
        self._parent_death_signal = parent_death_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, ready: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Starts the server and waits until `ready()`.  Raises: ServerFailed; nothing runs then."""
        assert not self.running, f"{self.name} runs already"
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, f"--pdeathsig={self._parent_death_signal}", "--"] if setpriv else []
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *self.argv],
                cwd=self.directory,
                env=dict(self._env) if self._env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_ready(ready, timeout_s)
        except BaseException:
            self.kill()
            raise

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the server alone, not to its children."""
        assert self._process is not None, f"{self.name} does not run"
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, grace_s: float = 20.0) -> None:
        """Asks the server to end, and kills it when it has not after `grace_s`.  Does nothing when it does not run."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends the server and all it started, at once (SIGKILL), and leaves no zombie."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def log_tail(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _TAIL_BYTES))
            return log.read().decode(errors="replace")

    def _wait_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self._process.poll() is not None:
                raise ServerFailed(f"{self.name} ended with status {self._process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} was not ready after {timeout_s} s:\n{self.log_tail()}")
            time.sleep(_POLL_S)


def start_on_free_ports(count: int, start: Callable[[list[int]], None]) -> None:
    """Calls `start` with ports that nobody listens on, and with others while it fails since somebody was quicker."""
    for attempt in range(1, _START_ATTEMPTS + 1):
        try:
            start(free_ports(count))
            return
        except ServerFailed as exc:
            if attempt == _START_ATTEMPTS or "address already in use" not in str(exc).lower():
                raise


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
