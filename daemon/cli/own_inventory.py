"""A backup's inventory, opened where the identity is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from contracts.control import BackupDetail
from contracts.errors import Corrupt, Denied

if TYPE_CHECKING:
    from contracts.age import Identity


def with_inventory(detail: BackupDetail, identities: Sequence[Identity]) -> BackupDetail:
    """The detail with its inventory readable.

    Raises: Denied `key.unavailable` when none of the identities opens it, Corrupt `manifest.corrupt`.
    """
    # Imported late: listing backups needs none of these.
    import zstandard

    from contracts.age import AgeError, Decryptor, NoIdentityMatches
    from daemon.artifacts.inventories import unpack_inventory

    try:
        decryptor = Decryptor(identities)
        packed = decryptor.feed(detail.sealed_inventory) + decryptor.finish()
        inventory = unpack_inventory(packed)
    except NoIdentityMatches as exc:
        raise Denied("key.unavailable", "none of the given identities opens the inventory", field="identity") from exc
    except (AgeError, zstandard.ZstdError, msgspec.DecodeError) as exc:
        raise Corrupt("manifest.corrupt", f"the inventory of {detail.record.id} cannot be read: {exc}") from exc
    return msgspec.structs.replace(detail, inventory=inventory, sealed_inventory=b"")
