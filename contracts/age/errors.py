"""What can be wrong with an age file or a key, branched by what the caller can do next.

    AgeError
    ├── BadKey               age.bad_key              a key or nonce is not one: the text or the length is wrong
    ├── BadRecipients        age.bad_recipients       none were given, or more than a header can hold
    ├── NoIdentityMatches    age.no_identity_matches  the file is addressed to others: try other identities
    └── BadFile                                       final: these bytes are not a valid age file, do not try again
        ├── Malformed          age.malformed            breaks the grammar
        │   ├── UnsupportedVersion  age.unsupported_version  an age file, but not of version 1
        │   └── LowOrderPoint       age.low_order_point      a share that gives everybody the same secret
        ├── Oversized          age.oversized            the header is larger than MAX_HEADER_SIZE
        ├── Truncated          age.truncated            ends before it is complete
        ├── HeaderMacMismatch  age.header_mac           the header was changed after it was made
        └── PayloadCorrupt     age.payload_corrupt      a chunk is not authentic at its place
            └── TrailingData     age.trailing_data      bytes follow the final chunk

"Not addressed to this identity" is no damage, and damage of the header's grammar is never reported as it: only a stanza that
is well formed but does not open counts as somebody else's.  Codes are stable.  Messages never quote secrets or bytes of the
input.
"""

from __future__ import annotations

from typing import ClassVar


class AgeError(Exception):
    """Base of all errors about age files and their keys."""

    code: ClassVar[str] = "age.error"


class BadKey(AgeError):
    """A recipient, identity, file key or nonce that is none; the message does not repeat it."""

    code = "age.bad_key"


class BadRecipients(AgeError):
    """A header cannot be made for these recipients: there are none, or too many."""

    code = "age.bad_recipients"


class NoIdentityMatches(AgeError):
    """The header is well formed, but none of its stanzas opens with any of the given identities."""

    code = "age.no_identity_matches"


class BadFile(AgeError):
    """These bytes are not a valid age file; reading them again will not help."""

    code = "age.bad_file"


class Malformed(BadFile):
    """The bytes break the grammar of the format."""

    code = "age.malformed"


class UnsupportedVersion(Malformed):
    """The version line is well formed but names another version than v1."""

    code = "age.unsupported_version"


class LowOrderPoint(Malformed):
    """An X25519 share of low order: the shared secret would be all zeros, known to everybody."""

    code = "age.low_order_point"


class Oversized(BadFile):
    """The header does not end within MAX_HEADER_SIZE bytes."""

    code = "age.oversized"


class Truncated(BadFile):
    """The file ends before its final chunk.

    A cut inside a chunk cannot be told from damage and is reported as `PayloadCorrupt`.
    """

    code = "age.truncated"


class HeaderMacMismatch(BadFile):
    """The file key is not the one that this header was made with, or somebody changed the header."""

    code = "age.header_mac"


class PayloadCorrupt(BadFile):
    """A chunk is not authentic at its place in the file: changed, moved, repeated, dropped or cut."""

    code = "age.payload_corrupt"

    def __init__(self, message: str, *, chunk_index: int) -> None:
        super().__init__(message)
        self.chunk_index = chunk_index
        """Counted from 0; the plaintext offset is this times CHUNK_SIZE."""


class TrailingData(PayloadCorrupt):
    """Bytes follow the final chunk, which itself is authentic."""

    code = "age.trailing_data"
