"""X25519 recipients (public) and identities (secret), as values and in their text forms.

Source: "The X25519 recipient type".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Self

from contracts.age import bech32
from contracts.age.errors import BadKey, LowOrderPoint
from contracts.age.primitives import x25519, x25519_public
from contracts.age.secret import Secret

KEY_SIZE: Final = 32
_RECIPIENT_PREFIX: Final = "age"
_IDENTITY_PREFIX: Final = "AGE-SECRET-KEY-"
_FIELD_PRIME: Final = 2**255 - 19
_ANY_SCALAR: Final = b"\x08" + bytes(31)


@dataclass(frozen=True, slots=True, repr=False)
class Recipient:
    """The public half: files can be encrypted to it.  Its text form is `age1…`, 62 lower-case characters.

    A point that no identity can have as its public half is refused here, when it is configured.  The stanza binds the
    recipient's exact bytes, so a backup made to such a point would look well and open for nobody.
    """

    public_key: bytes

    def __post_init__(self) -> None:
        if len(self.public_key) != KEY_SIZE:
            raise BadKey(f"a recipient has {KEY_SIZE} bytes, not {len(self.public_key)}")
        if int.from_bytes(self.public_key, "little") >= _FIELD_PRIME:
            raise BadKey("the recipient is not the canonical form of its point: no identity would open files made for it")
        try:
            x25519(_ANY_SCALAR, self.public_key)
        except LowOrderPoint as exc:
            raise BadKey("the recipient is a point of low order: everybody could read files made for it") from exc

    @classmethod
    def parse(cls, text: str) -> Self:
        """The recipient that `text` spells, exactly: no white space, no upper case.

        Raises: BadKey saying what is wrong.
        """
        try:
            prefix, public_key = bech32.decode(text)
        except BadKey as exc:
            raise BadKey(f"not an age recipient: {exc}") from None
        if prefix == _IDENTITY_PREFIX:
            raise BadKey("this is an identity (a secret key), not a recipient; keep it secret")
        if prefix != _RECIPIENT_PREFIX:
            raise BadKey("not an age X25519 recipient: those start with 'age1', in lower case")
        return cls(public_key)

    def __str__(self) -> str:
        return bech32.encode(_RECIPIENT_PREFIX, self.public_key)

    def __repr__(self) -> str:
        return f"Recipient({str(self)!r})"


class Identity(Secret):
    """The secret half: opens files made for its recipient.  Text form `AGE-SECRET-KEY-1…`, 74 upper-case characters."""

    __slots__ = ("recipient",)
    recipient: Recipient

    def __init__(self, raw: bytes) -> None:
        """Raises: BadKey unless `raw` is 32 bytes."""
        if len(raw) != KEY_SIZE:
            raise BadKey(f"an identity has {KEY_SIZE} bytes, not {len(raw)}")
        super().__init__(raw)
        object.__setattr__(self, "recipient", Recipient(x25519_public(self._raw)))

    @classmethod
    def generate(cls) -> Self:
        """A fresh identity from the system's random source."""
        return cls(secrets.token_bytes(KEY_SIZE))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The identity that `text` spells, exactly: no white space, no comment line, no lower case.

        Raises: BadKey saying what is wrong, without any part of `text`.
        """
        try:
            prefix, raw = bech32.decode(text)
        except BadKey as exc:
            # `from None`: the frames of the decoder hold the secret, and some log formats show the locals of a chain.
            raise BadKey(f"not an age identity: {exc}") from None
        if prefix != _IDENTITY_PREFIX:
            raise BadKey(f"not an age X25519 identity: those start with '{_IDENTITY_PREFIX}1', in upper case")
        return cls(raw)

    def reveal(self) -> str:
        """The secret in its text form, for the one place that must store or show it."""
        return bech32.encode(_IDENTITY_PREFIX, self._raw)

    def agree(self, share: bytes) -> bytes:
        """The secret shared with the holder of the other half of `share` (32 bytes).  Raises: LowOrderPoint."""
        return x25519(self._raw, share)

    def __repr__(self) -> str:
        return f"Identity(<hidden>, recipient={str(self.recipient)!r})"
