"""Retention policies and other documents that commands read from files."""

from __future__ import annotations

import sys
from pathlib import Path

from contracts.errors import InvalidInput
from contracts.policy.documents import read_policy
from contracts.policy.retention_policy import RetentionPolicy


def read_policy_file(path: Path | None) -> RetentionPolicy:
    """The policy of the file, the default one for None.  Raises: InvalidInput naming file and field."""
    return read_policy(read_file(path, "policy"), str(path)) if path else RetentionPolicy()


def read_file(path: Path, field: str) -> bytes:
    """What the file holds; `-` is standard input.  Raises: InvalidInput naming the field."""
    try:
        return sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as exc:
        raise InvalidInput("input.invalid", f"{path}: cannot be read: {exc.strerror}", field=field) from exc
