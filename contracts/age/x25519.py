"""X25519 stanzas: a file key wrapped for one recipient.

Source: "X25519 recipient stanza".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from contracts.age.encoding import decode_base64, encode_base64
from contracts.age.errors import Malformed
from contracts.age.file_key import FILE_KEY_SIZE, FileKey
from contracts.age.keys import KEY_SIZE, Identity, Recipient
from contracts.age.primitives import hkdf_sha256, unwrap, wrap
from contracts.age.stanza import Stanza

TYPE: Final = "X25519"
_INFO: Final = b"age-encryption.org/v1/X25519"
_BODY_SIZE: Final = FILE_KEY_SIZE + 16


def wrap_file_key(file_key: FileKey, recipient: Recipient) -> Stanza:
    """A new stanza for `recipient`, with a fresh share each time: two stanzas of one recipient do not look related."""
    ephemeral = Identity.generate()
    share = ephemeral.recipient.public_key
    shared_secret = ephemeral.agree(recipient.public_key)
    body = wrap(_wrap_key(shared_secret, share, recipient), file_key.reveal())
    return Stanza((TYPE, encode_base64(share).decode("ascii")), body)


@dataclass(frozen=True, slots=True)
class X25519Stanza:
    """A stanza of type X25519 whose shape has been checked."""

    share: bytes
    body: bytes

    @classmethod
    def of(cls, stanza: Stanza) -> Self | None:
        """The checked form of `stanza`; None if it is of another type, which is not for us to judge.

        Raises: Malformed unless it has exactly one more argument, a canonical share of 32 bytes, and a body of 32 bytes.
        The length is checked before any decryption, so that no body can open under several keys.
        """
        if stanza.type != TYPE:
            return None
        if len(stanza.arguments) != 2:
            raise Malformed("an X25519 stanza has another number of arguments than two")
        share = decode_base64(stanza.arguments[1].encode("ascii"))
        if len(share) != KEY_SIZE:
            raise Malformed(f"an X25519 share has {len(share)} bytes instead of {KEY_SIZE}")
        if len(stanza.body) != _BODY_SIZE:
            raise Malformed(f"the body of an X25519 stanza has {len(stanza.body)} bytes instead of {_BODY_SIZE}")
        return cls(share, stanza.body)

    def open(self, identity: Identity) -> FileKey | None:
        """The file key, or None if the stanza is for somebody else.  Raises: LowOrderPoint."""
        wrap_key = _wrap_key(identity.agree(self.share), self.share, identity.recipient)
        raw = unwrap(wrap_key, self.body)
        return None if raw is None else FileKey(raw)


def _wrap_key(shared_secret: bytes, share: bytes, recipient: Recipient) -> bytes:
    return hkdf_sha256(shared_secret, salt=share + recipient.public_key, info=_INFO)
