"""The protocol server as a process of its own, and a `meilisearch` program that starts one."""

from __future__ import annotations

import os
import secrets
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from meilisearch import Client

from tests.servers.meilisearch.control import Control
from tests.servers.process import ServerProcess, start_on_free_ports

_ROOT: Final = Path(__file__).parents[3]


class MeilisearchServer:
    """One instance on a free loopback port, which stays over restarts; its data are below `directory`."""

    def __init__(
        self,
        directory: Path,
        *,
        master_key: str | None = None,
        import_dump: Path | None = None,
        program: str = "",
        version: str = "",
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.master_key = secrets.token_urlsafe(24) if master_key is None else master_key
        self.dump_dir = directory / "dumps"
        self.db_path = directory / "data.ms"
        control = directory / "control"
        for path in (self.dump_dir, control, directory / "tmp"):
            path.mkdir(exist_ok=True)
        self.control = Control(control)
        self._directory = directory
        self._import_dump = import_dump
        self._program = [program] if program else [sys.executable, "-m", "tests.servers.meilisearch"]
        self._env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "MEILI_MASTER_KEY": self.master_key,
            "FAKE_MEILI_CONTROL": str(control),
            "TMPDIR": str(directory / "tmp"),
            **({"FAKE_MEILI_VERSION": version} if version else {}),
        }
        self._port = 0
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def client(self, api_key: str | None = None) -> Client:
        """The official client, with the master key unless told otherwise."""
        return Client(self.url, self.master_key if api_key is None else api_key, timeout=30)

    def start(self, *, import_dump: Path | None = None) -> None:
        """Returns when the server answers.  Raises: ServerFailed with its words."""
        dump = import_dump or (self._import_dump if self._process is None else None)
        if self._port:
            self._run(self._port, dump)
        else:
            start_on_free_ports(1, lambda ports: self._run(ports[0], dump))

    def kill(self) -> None:
        """As a power failure; does nothing when it does not run."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def _run(self, port: int, dump: Path | None) -> None:
        argv = [*self._program, "--http-addr", f"127.0.0.1:{port}", "--db-path", str(self.db_path)]
        argv += ["--dump-dir", str(self.dump_dir), "--snapshot-dir", str(self._directory / "snapshots")]
        argv += ["--env", "development", "--no-analytics"]
        if dump is not None:
            argv += ["--import-dump", str(dump)]
        process = ServerProcess("meilisearch", argv, directory=self._directory, env=self._env)
        process.start(lambda: _is_healthy(port))
        self._port, self._process = port, process


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def install_program(directory: Path, *, version: str = "") -> Path:
    """`directory` with an executable `meilisearch` in it, which is the protocol server."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "meilisearch"
    setting = f"export FAKE_MEILI_VERSION={version}\n" if version else ""
    path.write_text(
        f'#!/bin/sh\nexport PYTHONPATH={_ROOT}\n{setting}exec {sys.executable} -m tests.servers.meilisearch "$@"\n'
    )
    path.chmod(0o755)
    return directory
