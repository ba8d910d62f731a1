"""Who holds a project's identity, and headers that its holder makes anew for another reader (`contracts.resealing`).

In *customer* custody only recipients are known here.  Whoever holds the identity opens an artifact's header where the
identity is and seals the file key to the reader; what travels is the new header, which opens one artifact for one reader.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from contracts.errors import InvalidInput
from contracts.ids import RunId, Slug

MOST_RECIPIENTS: Final = 20
"""Of a project.  Each takes 98 bytes of every artifact, and all of them have to be kept safe by somebody."""
_MOST_HEADER_BYTES: Final = 64 * 1024
"""What `contracts.age` reads of a header."""
_DIGITS: Final = 32


class CustodyKind(StrEnum):
    """Where a project's identity is."""

    MANAGED = "managed"
    """Sealed under the coordinator's master key."""
    CUSTOMER = "customer"
    """With its owner alone: the coordinator knows recipients and nothing that opens a backup."""


class ArtifactHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The age header that an artifact's object begins with: it opens for whoever holds an identity, and for nobody else."""

    artifact: str
    object_key: str
    header: Annotated[bytes, msgspec.Meta(max_length=_MOST_HEADER_BYTES)]


class ResealedHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same file key, sealed to one reader: opens this artifact for that reader, and nothing else for anybody."""

    artifact: str
    object_key: str
    recipient: str
    """The reader's."""
    header: Annotated[bytes, msgspec.Meta(max_length=_MOST_HEADER_BYTES)]


class RestoreHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of an identity gave along with a restore; gone with the restore's end."""

    project: Slug
    service: Slug
    restore_id: RunId
    headers: list[ResealedHeader]


def recipient_fingerprint(recipient: str) -> str:
    """The first 128 bits of the SHA-256 of a recipient's text, in groups of four digits: for people to compare.

    `printf %s age1… | sha256sum` prints the same digits.
    """
    digits = hashlib.sha256(recipient.encode()).hexdigest()[:_DIGITS]
    return " ".join(digits[at : at + 4] for at in range(0, _DIGITS, 4))


_INSTEAD: Final = "give an X25519 recipient (age1…), which `age-keygen` makes"


def refusal_of_recipient(text: str) -> str:
    """What to do about a recipient of a kind that is not taken; empty for one that may be an X25519 recipient.

    Says nothing of the text itself: somebody may have pasted a secret.
    """
    text = text.strip().lower()
    if text.startswith("age-secret-key-"):
        return "this is an identity, which is a secret: give its recipient, which `age-keygen -y FILE` prints"
    if text.startswith("age1pq1"):
        return f"post-quantum recipients are not supported: {_INSTEAD}"
    if text.startswith("age1"):
        # The 58 characters of an X25519 recipient have no further 1.
        return f"recipients of plugins and hardware keys are not supported: {_INSTEAD}" if "1" in text[4:] else ""
    if text.startswith("ssh-"):
        return f"SSH keys are not supported: {_INSTEAD}"
    return f"passphrases are not supported: {_INSTEAD}" if text else ""


def changed_recipients(now: Sequence[str], *, fixed: str, add: Sequence[str], remove: Sequence[str]) -> list[str]:
    """The recipients after a change, in their order.  `fixed`: the managed key's own, which is not anybody's to remove.

    All are texts of parsed recipients.  Raises: InvalidInput naming `add` or `remove`.
    """
    for each in remove:
        if each == fixed:
            message = "this is the recipient of the key that the coordinator holds: `project rotate-key` replaces it"
            raise InvalidInput("input.invalid", message, field="remove")
        if each not in now:
            raise InvalidInput("input.invalid", f"{each} is none of the project's recipients", field="remove")
        if each in add:
            raise InvalidInput("input.invalid", f"{each} is both added and removed", field="remove")
    after = [each for each in dict.fromkeys([*now, *add]) if each not in remove]
    if not after:
        message = "a project needs a recipient: without one nobody could open its backups; add another one first"
        raise InvalidInput("input.invalid", message, field="remove")
    check_count(after, "add")
    return after


def check_count(recipients: Sequence[str], field: str) -> None:
    """Raises: InvalidInput for more recipients than a project may have."""
    if len(recipients) > MOST_RECIPIENTS:
        raise InvalidInput("input.invalid", f"a project has {MOST_RECIPIENTS} recipients at most", field=field)
