"""The installation's signing key: made when it is needed first, kept sealed, shared by all coordinators.

Its public half is for everybody; a new one is never made while there is one, so a record that was signed years ago can be
held against what `strongroom signing-key` prints today.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from contracts.records import SignedFile, SigningKeyRecord
from contracts.signed_record import PublicKey, SigningKey, sign
from daemon.catalog.buckets import RecordChanged, key
from daemon.catalog.catalog import Catalog
from daemon.keys.master import MasterKey
from daemon.keys.moving import find_sealed

SIGNING_KEY: Final = "installation"
"""Its place in the bucket."""


def signing_context(public_key: str) -> bytes:
    """What the sealed half is bound to."""
    return f"strongroom.signing/{public_key}".encode()


class Signer:
    """Signs what this installation states."""

    def __init__(self, catalog: Catalog, master_key: MasterKey, now: Callable[[], datetime]) -> None:
        self._catalog = catalog
        self._master_key = master_key
        self._now = now

    async def public(self) -> tuple[PublicKey, datetime]:
        """The public half, and since when there has been one."""
        record = await self._record()
        return PublicKey.parse(record.public_key), record.created_at

    async def sign(self, kind: str, id_: str, at: datetime, content: Any) -> bytes:
        """The signed record as a file; the same for the same arguments.

        Raises: Denied `key.unavailable` when the master key does not open the signing key.
        """
        record = await self._record()
        secret = self._master_key.open(record.sealed_key, signing_context(record.public_key))
        return sign(SigningKey(secret), kind=kind, id=id_, at=at, content=content)

    async def keep(self, kind: str, project: str, id_: str, at: datetime, data: bytes) -> None:
        """Stores a signed record for good; one that is there already stays as it is."""
        record = SignedFile(kind=kind, id=id_, signed_at=at, text=data.decode())
        try:
            await self._catalog.signed.create(key(kind, project, id_), record)
        except RecordChanged:
            return

    async def kept(self, kind: str, project: str, id_: str) -> str:
        """The signed record, or nothing."""
        stored = await self._catalog.signed.get(key(kind, project, id_))
        return stored.value.text if stored is not None else ""

    async def _record(self) -> SigningKeyRecord:
        while (stored := await find_sealed(self._catalog.signing, SIGNING_KEY)) is None:
            made = SigningKey.generate()
            public = str(made.public)
            record = SigningKeyRecord(
                public_key=public,
                sealed_key=self._master_key.seal(made.reveal(), signing_context(public)),
                created_at=self._now(),
            )
            try:
                await self._catalog.signing.create(SIGNING_KEY, record)
            except RecordChanged:
                continue  # another coordinator was quicker: its key counts
        return stored.value
