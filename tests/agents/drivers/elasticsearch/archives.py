"""Artifacts looked at and made with Python's own tar, not with the driver's."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from contracts.records import ArtifactRecord

Members = dict[str, bytes]


def unpack(artifact: bytes) -> Members:
    """In order."""
    with tarfile.open(fileobj=io.BytesIO(artifact)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def pack(members: Members) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return made.getvalue()


def data_lines(members: Members) -> list[bytes]:
    return [line for name, content in members.items() if name.startswith("data") for line in content.splitlines()]


def index_record(name: str, data: bytes, **attributes: Any) -> ArtifactRecord:
    return ArtifactRecord(
        name=name,
        kind="index",
        format="elasticdump-tar",
        object_key=f"acme/search/1-{name}",
        stored_bytes=len(data),
        plain_bytes=len(data),
        sha256="0" * 64,
        attributes=attributes,
    )
