"""Every kind of service: how its connection looks, and which driver it has.

A driver is imported when its kind is first used: most hosts have one or two kinds, and what is imported stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from agents.drivers.base import Driver
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.mariadb.connection import MariaDBConnection
from agents.drivers.meilisearch.connection import MeilisearchConnection
from agents.drivers.nats.connection import NATSConnection
from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.shared_storage.connection import SharedStorageConnection
from contracts.errors import RunFailed
from contracts.services import ServiceOptions, kind_of

Connection = (
    PostgreSQLConnection
    | MariaDBConnection
    | QdrantConnection
    | ElasticsearchConnection
    | NATSConnection
    | MeilisearchConnection
    | SharedStorageConnection
)

_DRIVERS: Final[dict[str, tuple[str, str]]] = {
    "postgresql": ("postgresql", "PostgreSQLDriver"),
    "mariadb": ("mariadb", "MariaDBDriver"),
    "qdrant": ("qdrant", "QdrantDriver"),
    "elasticsearch": ("elasticsearch", "ElasticsearchDriver"),
    "nats": ("nats", "NATSDriver"),
    "meilisearch": ("meilisearch", "MeilisearchDriver"),
    "shared-storage": ("shared_storage", "SharedStorageDriver"),
}
"""Package below `agents.drivers`, and class; all are made with the same arguments."""


def connection_kind(connection: Connection) -> str:
    """Its kind's name, such as `postgresql`."""
    return str(connection.__struct_config__.tag)


def make_driver(connection: Connection, options: ServiceOptions | None, *, runtime_dir: Path, work_dir: Path) -> Driver:
    """The driver of the connection's kind.

    `runtime_dir` is private and best on a memory file system, for secrets; `work_dir` is private and may hold gigabytes, for
    what an engine can only give or take as a file.
    Raises: RunFailed `service.not_configured` when the service is of another kind than the connection.
    """
    kind = connection_kind(connection)
    if options is not None and kind_of(options) != kind:
        raise RunFailed(
            "service.not_configured",
            f"the service is of the kind {kind_of(options)}, but its file on this host says {kind}: correct it there",
        )
    package, name = _DRIVERS[kind]
    driver: Callable[..., Any] = getattr(import_module(f"agents.drivers.{package}.driver"), name)
    made: Driver = driver(connection, options, runtime_dir=runtime_dir, work_dir=work_dir)
    return made
