"""What can be backed up: one options Struct per kind of service, told apart by `kind`.

Options say what a backup holds and are the coordinator's to keep; how an engine is reached, with which credentials, stands
in a file on its own host, see `agents.services`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import msgspec

Parallel = Annotated[int, msgspec.Meta(ge=1, le=32)]
LogicalOrPhysical = Literal["logical", "physical"]


class PostgreSQLOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="postgresql"):
    """A PostgreSQL cluster: one artifact per database and one for roles, or the data directory as a whole."""

    method: LogicalOrPhysical = "logical"
    """`logical`: pg_dump, restored into a running server.  `physical`: pg_basebackup, restored as a data directory."""
    include: list[str] = []
    """Databases to back up, shell patterns (`*`, `?`, `[…]`) allowed.  Empty: all but templates."""
    exclude: list[str] = []
    """Databases to leave out, shell patterns allowed; wins over `include`."""
    globals: bool = True
    """Whether roles and tablespaces are backed up as an artifact of their own."""
    lock_timeout_s: Annotated[int, msgspec.Meta(ge=1, le=86400)] = 30
    """How long a dump waits for its share locks before it fails."""
    parallel: Parallel = 1
    """How many databases are dumped at once."""

    def __post_init__(self) -> None:
        _require_whole(self.method, include=self.include, exclude=self.exclude)


class MariaDBOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mariadb"):
    """A MariaDB server: the data directory as a whole, or one artifact per database."""

    method: LogicalOrPhysical = "physical"
    """`physical`: mariadb-backup, restored as a data directory.  `logical`: mariadb-dump, restored into a running server."""
    include: list[str] = []
    """Databases to back up, shell patterns allowed; `logical` only.  Empty: all but the server's own."""
    exclude: list[str] = []
    """Databases to leave out, shell patterns allowed; wins over `include`."""
    users: bool = True
    """Whether accounts and their grants are backed up as an artifact of their own."""
    parallel: Parallel = 1
    """`logical`: databases dumped at once.  `physical`: threads that read data files."""

    def __post_init__(self) -> None:
        _require_whole(self.method, include=self.include, exclude=self.exclude)


class QdrantOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="qdrant"):
    """A Qdrant node or cluster: one snapshot per collection and node, and the aliases."""

    include: list[str] = []
    """Collections to back up, shell patterns allowed.  Empty: all."""
    exclude: list[str] = []
    """Collections to leave out, shell patterns allowed; wins over `include`."""
    parallel: Parallel = 1
    """How many snapshots are made at once; each takes room on its node's disk."""


class ElasticsearchOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="elasticsearch"):
    """An Elasticsearch or OpenSearch cluster: one artifact per index, and one of what belongs to no index."""

    include: list[str] = []
    """Indices to back up, shell patterns allowed.  Empty: all that do not begin with a dot."""
    exclude: list[str] = []
    """Indices to leave out, shell patterns allowed; wins over `include`."""
    cluster_metadata: bool = True
    """Whether templates, ingest pipelines and the like are backed up as an artifact of their own."""
    slices: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    """How many requests read an index at once."""
    parallel: Parallel = 1
    """How many indices are read at once."""


class NATSOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="nats"):
    """The JetStream streams of a NATS account, KV and object buckets among them: one artifact per stream."""

    include: list[str] = []
    """Streams to back up, shell patterns allowed; a KV bucket's is `KV_<bucket>`.  Empty: all."""
    exclude: list[str] = []
    """Streams to leave out, shell patterns allowed; wins over `include`."""
    consumers: bool = True
    """Whether durable consumers are backed up with their streams."""
    parallel: Parallel = 1
    """How many streams are read at once."""


class MeilisearchOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="meilisearch"):
    """A Meilisearch instance: one dump of everything in it."""

    timeout_s: Annotated[int, msgspec.Meta(ge=10, le=604_800)] = 6 * 3600
    """How long the instance may take to make the dump, the wait for what it is doing at the moment included."""


class SharedStorageOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="shared-storage"):
    """A directory tree: one tar archive."""

    exclude: list[str] = []
    """Paths to leave out with all below them, relative to the tree.  `*` matches any characters, slashes too, and `?` any
    one byte; everything else stands for itself.  `cache` is the one at the top only, `*/cache` those below, `*.tmp` is
    anywhere."""
    one_file_system: bool = True
    """Whether mounted file systems below are left out."""
    changed_limit: Annotated[int, msgspec.Meta(ge=0)] = 1000
    """A run fails when more files than this changed while they were read; fewer are warnings."""

    def __post_init__(self) -> None:
        for pattern in self.exclude:
            parts = pattern.split("/")
            if not pattern.strip("/.") or parts[0] == "" or ".." in parts or "\0" in pattern:
                raise ValueError(f"exclude has {pattern!r}: paths are relative to the tree, such as cache or */cache")


ServiceOptions = (
    PostgreSQLOptions
    | MariaDBOptions
    | QdrantOptions
    | ElasticsearchOptions
    | NATSOptions
    | MeilisearchOptions
    | SharedStorageOptions
)


def kind_of(options: ServiceOptions) -> str:
    """The kind's name, such as `postgresql`."""
    return _kind(type(options))


def _kind(options_type: type[ServiceOptions]) -> str:
    tag = options_type.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def _require_whole(method: LogicalOrPhysical, *, include: list[str], exclude: list[str]) -> None:
    if method == "physical" and (include or exclude):
        raise ValueError("a physical backup has all databases: empty include and exclude, or set method to logical")


OPTIONS_BY_KIND: Final[dict[str, type[ServiceOptions]]] = {_kind(each): each for each in get_args(ServiceOptions)}
"""Every kind of service there is."""
