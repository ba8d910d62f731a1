"""Artifacts as a test looks into them, and damages them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import msgspec

from contracts.records import ArtifactRecord
from tests.agents.drivers.playing import Backup


def members(data: bytes) -> dict[str, bytes]:
    """Name and content, in order, as the stock `tar` would give them."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def packed(parts: Mapping[str, bytes]) -> bytes:
    """The other way round."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in parts.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return out.getvalue()


def flipped(data: bytes) -> bytes:
    """The artifact with one bit of some message changed: the outside of the archive is as it was."""
    parts = members(data)
    name = list(parts)[-1]
    part = bytearray(parts[name])
    part[len(part) // 2] ^= 0x01
    return packed({**parts, name: bytes(part)})


def replaced(backup: Backup, name: str, data: bytes | None = None, **attributes: Any) -> Backup:
    """The backup with another artifact of that name, or other attributes of it."""

    def changed(record: ArtifactRecord) -> ArtifactRecord:
        return msgspec.structs.replace(record, attributes={**record.attributes, **attributes})

    artifacts = [
        (changed(record), data or old) if record.name == name else (record, old) for record, old in backup.artifacts
    ]
    return Backup(plan=backup.plan, artifacts=artifacts, warnings=backup.warnings)
