"""What goes wrong, as a test has it: a file in the server's directory, read whenever it matters."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing by default."""

    hold_snapshots: bool = False
    """Creations wait for as long as this is so."""
    hold_uploads: bool = False
    """Recoveries wait for as long as this is so."""
    gateway_timeout_s: float = 0
    """A proxy before the server answers 504 after this long; the server goes on."""
    disk_full: bool = False
    """Snapshots cannot be made."""
    disk_full_for: list[str] = []
    """Uploads to these collections fail after the collection has been made."""
    silent_failures: bool = False
    """A creation that is not waited for ends in nothing."""
    refuse_deletes: bool = False
    """Snapshots cannot be removed."""
    wrong_checksum: bool = False
    no_checksum: bool = False
    cut_downloads_at: int = 0
    """Connections of downloads break after so many bytes."""
    lose_snapshots: bool = False
    """A snapshot is gone before it can be downloaded, as after a restart with other storage."""
    second: str = ""
    """The time that snapshots are named by, such as `2026-11-22-00-05-12`."""
    gateway_broken: bool = False
    """A proxy before the server answers 502 to everything."""
    unknown: list[str] = []
    """Collections that a node has not heard of, as `collection@peer`: it lags behind the others."""
    states: dict[str, str] = {}
    """Of replicas: `collection/shard@peer` to `Dead`."""


def read_faults(directory: Path) -> Faults:
    try:
        return msgspec.json.decode((directory / "faults.json").read_bytes(), type=Faults)
    except FileNotFoundError:
        return Faults()


def write_faults(directory: Path, faults: Faults) -> None:
    temporary = directory / "faults.json.new"
    temporary.write_bytes(msgspec.json.encode(faults))
    temporary.rename(directory / "faults.json")
