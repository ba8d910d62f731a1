"""What an inventory says of one database, and what its dump refers to outside of it."""

from __future__ import annotations

import msgspec


class Table(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A table, partitioned table or materialised view."""

    schema: str
    name: str
    kind: str
    """`table`, `partitioned` or `matview`."""
    unlogged: bool = False
    of_extension: bool = False
    """An extension made it and keeps its settings there: a dump has only those rows that are not the extension's own."""
    bytes: int
    """Heap and TOAST, without indexes."""
    estimated_rows: int | None = None
    """As the last ANALYZE saw it; absent when there was none."""
    rows: int | None = None
    """Counted just before the dump; absent when the table is large."""


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: str
    schema: str


class DatabaseObjects(msgspec.Struct, frozen=True, kw_only=True):
    """One database's objects."""

    schemas: list[str]
    extensions: list[Extension]
    table_count: int
    tables: list[Table]
    sequence_count: int
    sequences: list[str]
    view_count: int
    function_count: int
    large_objects: int
    heap_estimate_bytes: int
    """Of the whole database without indexes and catalogues: about the size of a dump."""


class References(msgspec.Struct, frozen=True, kw_only=True):
    """What outside of it a database's dump refers to, and a restore therefore needs."""

    roles: list[str] = []
    owners: list[str] = []
    """Those of `roles` that own something."""
    bound_roles: list[str] = []
    """Those of `roles` that row-level policies and user mappings name, which cannot be given to anybody else."""
    extensions: list[str] = []
    tablespaces: list[str] = []
