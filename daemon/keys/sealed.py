"""All that is kept sealed under the master key, so that a rotation forgets nothing.

Whoever seals something new enters it here; a test holds this list against the records and the calls of `seal`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daemon.catalog.buckets import RecordBucket
from daemon.catalog.catalog import Catalog
from daemon.keys.custody import identity_context
from daemon.keys.signing import signing_context
from daemon.notifications.channels import channel_context
from daemon.notifications.pings import ping_context


@dataclass(frozen=True)
class SealedKind:
    """Records of one bucket that hold a sealed value each."""

    bucket: RecordBucket[Any]
    field: str
    """Of the record: the sealed value."""
    context: Callable[[Any], bytes]
    """Of a record: what its value is bound to."""
    erasable: bool
    """Whether the bucket was made so that a revision can be overwritten on disk."""


def sealed_kinds(catalog: Catalog) -> tuple[SealedKind, ...]:
    """The witnesses of erasures are left out on purpose: they show that the key that sealed them is gone."""
    return (
        SealedKind(catalog.keys, "sealed_identity", lambda r: identity_context(r.project, r.key_id), erasable=True),
        SealedKind(catalog.signing, "sealed_key", lambda r: signing_context(r.public_key), erasable=True),
        SealedKind(catalog.channels, "sealed_url", lambda r: channel_context(r.id, r.project), erasable=False),
        SealedKind(catalog.pings, "sealed_url", lambda r: ping_context(r.project, r.service), erasable=False),
    )
