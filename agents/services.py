"""The services of this host: how to reach each engine, from files that only this host has.

    /etc/strongroom/services.d/acme.orders.toml
        service = "acme/orders"
        [connection]
        kind = "postgresql"
        host = "127.0.0.1"
        …

The credentials stay here; what is backed up and when is the coordinator's to say.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from agents.drivers.base import Driver
from agents.drivers.kinds import Connection, make_driver
from contracts.errors import InvalidInput, RunFailed, StrongroomError
from contracts.ids import parse_service_ref
from contracts.services import ServiceOptions
from contracts.settings import load_settings

log = structlog.get_logger()


class ServiceFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the services directory."""

    service: str
    connection: Connection


class Services:
    """The connections of this host, read again whenever a file has changed."""

    def __init__(self, directory: Path, *, runtime_dir: Path, work_dir: Path) -> None:
        self._directory = directory
        self._runtime_dir = runtime_dir
        self._work_dir = work_dir
        self._seen: dict[Path, tuple[int, int]] = {}
        self._connections: dict[str, Connection] = {}
        self._broken: dict[str, StrongroomError] = {}

    @property
    def names(self) -> list[str]:
        """`project/service` of each, in order."""
        return sorted(self._connections)

    def reload(self) -> bool:
        """Reads the directory if anything in it has changed; says whether it had.

        A file that is wrong is logged and left out: the other services must go on.
        """
        now: dict[Path, tuple[int, int]] = {}
        for path in sorted(self._directory.glob("*.toml")):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            now[path] = (status.st_mtime_ns, status.st_size)
        if now == self._seen:
            return False
        self._seen = now
        self._connections, self._broken = {}, {}
        for path in now:
            try:
                self._read(path)
            except StrongroomError as exc:
                self._broken[path.name] = exc
                log.error("service.misconfigured", file=str(path), code=exc.code, reason=exc.message)
        log.info("services.loaded", services=self.names)
        return True

    def driver(self, project: str, service: str, options: ServiceOptions) -> Driver:
        """The driver for a run.  Raises: RunFailed `service.not_configured` saying which file to write."""
        name = f"{project}/{service}"
        connection = self._connections.get(name)
        if connection is None:
            broken = "; ".join(exc.message for exc in self._broken.values())
            detail = f"files that could not be read: {broken}" if broken else None
            where = self._directory / f"{project}.{service}.toml"
            raise RunFailed(
                "service.not_configured",
                f"this host has no connection settings for {name}: write {where}, as `strongroom-agent service add` does",
                detail=detail,
            )
        return make_driver(connection, options, runtime_dir=self._runtime_dir, work_dir=self._work_dir)

    def probe(self, name: str) -> Driver:
        """A driver for looking at the engine's health only."""
        return make_driver(self._connections[name], None, runtime_dir=self._runtime_dir, work_dir=self._work_dir)

    def _read(self, path: Path) -> None:
        file = load_settings(ServiceFile, path, env_prefix="", environ={})
        name = "/".join(parse_service_ref(file.service))
        if name in self._connections:
            raise InvalidInput("config.invalid", f"{path}: service: {name} stands in another file too", field="service")
        self._connections[name] = file.connection


def ensure_private_dir(path: Path) -> None:
    """A directory that nobody else may look into."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
