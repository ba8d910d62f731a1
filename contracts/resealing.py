"""Headers of artifacts, sealed to another reader where the identity is, and checked where it is not.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.age import (
    AgeError,
    Identity,
    NoIdentityMatches,
    Recipient,
    header_size,
    make_header,
    parse_header,
    unwrap_file_key,
)
from contracts.custody import ArtifactHeader, ResealedHeader
from contracts.errors import Corrupt, Denied, InvalidInput

_ONE_STANZA_BYTES: Final = header_size(1)


def reseal_header(found: ArtifactHeader, identities: Sequence[Identity], reader: Recipient) -> ResealedHeader:
    """The artifact's file key, sealed to the reader instead.

    Raises: Denied `key.unavailable` when none of the identities opens it, Corrupt `artifact.corrupt`.
    """
    try:
        header = parse_header(found.header)
        if header is None or header.size != len(found.header):
            raise Corrupt("artifact.corrupt", f"artifact {found.artifact!r} does not begin with an age header")
        made = make_header(unwrap_file_key(header, identities), [reader])
    except NoIdentityMatches as exc:
        raise Denied("key.unavailable", f"none of the given identities opens artifact {found.artifact!r}") from exc
    except AgeError as exc:
        raise Corrupt("artifact.corrupt", f"the header of artifact {found.artifact!r} is damaged: {exc}") from exc
    return ResealedHeader(artifact=found.artifact, object_key=found.object_key, recipient=str(reader), header=made)


def check_resealed(given: ResealedHeader, *, object_key: str, reader: str, field: str) -> None:
    """What can be told of a header without opening it: whose it is, which artifact's, and that it is a whole age header with
    one X25519 stanza and nothing after it.  Raises: InvalidInput naming the field, never its bytes.
    """
    if given.object_key != object_key:
        message = f"the header is one of another object than artifact {given.artifact!r} of this backup"
        raise InvalidInput("input.invalid", message, field=f"{field}.object_key")
    if given.recipient != reader:
        raise InvalidInput(
            "input.invalid",
            f"the header of artifact {given.artifact!r} is sealed to another node's recipient than {reader}: prepare the "
            "restore again",
            field=f"{field}.recipient",
        )
    try:
        header = parse_header(given.header) if len(given.header) == _ONE_STANZA_BYTES else None
    except AgeError:
        header = None
    if header is None or len(header.stanzas) != 1 or header.stanzas[0].type != "X25519" or header.size != len(given.header):
        raise InvalidInput(
            "input.invalid",
            f"the header of artifact {given.artifact!r} is no age header for exactly one X25519 recipient",
            field=f"{field}.header",
        )
