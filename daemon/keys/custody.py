"""Who can open a project's backups: its managed identity, kept sealed, and the readers a file key is passed on to.

The identity never leaves this module.  A reader (an agent that restores, an operator who downloads) receives an age header
of its own, made for its recipient, which opens one artifact and nothing else.
"""

from __future__ import annotations

import secrets

from contracts.age import Decryptor, Identity, Recipient, make_header, parse_header, unwrap_file_key
from contracts.age.errors import AgeError
from contracts.errors import Corrupt, Denied, InvalidInput
from contracts.records import KeyRecord
from contracts.wire import utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.keys.master import MasterKey
from daemon.store.s3 import ObjectStore

_HEADER_GUESS_BYTES = 4096
"""More than a header with a dozen recipients needs; a longer one is read by doubling."""


def parse_recipient(text: str, field: str) -> Recipient:
    """Raises: InvalidInput `key.invalid` naming the field, never its value: somebody may have pasted an identity."""
    try:
        return Recipient.parse(text)
    except AgeError as exc:
        raise InvalidInput("key.invalid", f"{field}: {exc}", field=field) from exc


class Custody:
    """Makes and uses the managed identities."""

    def __init__(self, catalog: Catalog, store: ObjectStore, master_key: MasterKey) -> None:
        self._catalog = catalog
        self._store = store
        self._master_key = master_key

    async def create_key(self, project: str) -> KeyRecord:
        """A fresh managed key for a project, stored sealed."""
        identity = Identity.generate()
        key_id = secrets.token_hex(8)
        record = KeyRecord(
            project=project,
            key_id=key_id,
            recipient=str(identity.recipient),
            sealed_identity=self._master_key.seal(identity.reveal().encode(), _context(project, key_id)),
            created_at=utc_now(),
        )
        await self._catalog.keys.create(key(project, key_id), record)
        return record

    async def reseal(self, project: str, key_id: str, object_key: str, reader: Recipient) -> tuple[bytes, int]:
        """An age header for `reader`, and the offset in the object at which the payload that belongs to it begins.

        Raises: Denied `key.unavailable` when the identity is not held here, Corrupt `artifact.corrupt`.
        """
        identity = await self._identity(project, key_id)
        size = _HEADER_GUESS_BYTES
        try:
            while True:
                data = await self._store.read(object_key, count=size)
                header = parse_header(data)
                if header is not None:
                    file_key = unwrap_file_key(header, [identity])
                    return make_header(file_key, [reader]), header.size
                if len(data) < size:
                    raise Corrupt("artifact.corrupt", f"{object_key} does not begin with an age header")
                size *= 2
        except AgeError as exc:
            raise Corrupt("artifact.corrupt", f"{object_key} cannot be opened with the project's key: {exc}") from exc

    async def open(self, project: str, key_id: str, sealed: bytes) -> bytes:
        """The content of a small age file made for the project, such as a manifest's inventory.

        Raises: Denied `key.unavailable`, Corrupt `manifest.corrupt`.
        """
        identity = await self._identity(project, key_id)
        try:
            decryptor = Decryptor([identity])
            return decryptor.feed(sealed) + decryptor.finish()
        except AgeError as exc:
            raise Corrupt("manifest.corrupt", f"the inventory cannot be opened with the project's key: {exc}") from exc

    async def destroy_keys(self, project: str) -> None:
        """Every identity of the project is overwritten on disk: what only they open is open to nobody any more."""
        for stored in await self._catalog.keys.select(project):
            # Before any other write to the key: what was overwritten by a newer revision can no longer be erased.
            await self._catalog.keys.erase(stored.key, stored.revision)

    async def _identity(self, project: str, key_id: str) -> Identity:
        if not key_id:
            raise Denied("key.unavailable", f"the identity of project {project!r} is not held by this coordinator")
        stored = await self._catalog.keys.get(key(project, key_id))
        if stored is None:
            raise Denied("key.unavailable", f"the key of project {project!r} is gone")
        plain = self._master_key.open(stored.value.sealed_identity, _context(project, key_id))
        return Identity.parse(plain.decode())


def _context(project: str, key_id: str) -> bytes:
    return f"strongroom.key/{project}/{key_id}".encode()
