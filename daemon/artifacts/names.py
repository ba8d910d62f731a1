"""What files are called that hold an artifact."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from contracts.records import ArtifactRecord, BackupRecord

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069]')
"""What some file system refuses, what leads out of a directory, and what makes a name look like another one."""
_MOST_NAME: Final = 100
"""Characters of an artifact's own name: with all the rest, and four bytes each, still a file name everywhere."""


def plan_names(artifacts: Sequence[ArtifactRecord], *, encrypted: bool) -> list[str]:
    """A file name for each: the object's own, without the layers that are taken off, without its number where that is clear.

    Artifacts called `a b` and `a-b` would both be `a-b.pgdump`; then both keep their numbers.
    """
    names = [PurePosixPath(artifact.object_key).name for artifact in artifacts]
    if encrypted:
        return names
    names = [name.removesuffix(".age").removesuffix(".zst") for name in names]
    short = [name.partition("-")[2] or name for name in names]
    return [brief if short.count(brief) == 1 else name for brief, name in zip(short, names, strict=True)]


def file_name(backup: BackupRecord, artifact: ArtifactRecord, *, encrypted: bool) -> str:
    """For one artifact alone, such as `acme-orders-20261122T000512Z-k7xq-orders.pgdump`: says where it is from."""
    suffix = PurePosixPath(artifact.object_key).name.partition(".")[2]
    if not encrypted:
        suffix = suffix.removesuffix(".age").removesuffix(".zst")
    readable = _UNSAFE.sub("_", artifact.name)[:_MOST_NAME].strip(". ")
    return f"{backup.project}-{backup.service}-{backup.id}-{readable or 'artifact'}.{suffix}".rstrip(". ")


def content_disposition(name: str) -> str:
    """The header by which a browser stores an answer under the name.  Source: RFC 6266; RFC 8187 for what is not ASCII."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name)
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
