"""What a host proves before it is let in: that it holds the nkey and the age identity that it names.

The challenge's nonce follows from what it is about and a key that only coordinators have, so whichever of them is asked
next can check it, and none remembers anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from contracts.age import Encryptor, Recipient
from contracts.age.errors import AgeError
from contracts.enrolment import Challenge, Hello, Join, signed_bytes
from contracts.errors import Denied, InvalidInput
from daemon.trust.keys import KeyKind, check_public_key

_GOOD_FOR: Final = timedelta(minutes=2)
_SKEW: Final = timedelta(seconds=30)
"""Between the clocks of coordinators."""


class Proofs:
    """Makes challenges, and checks what comes back."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes that all coordinators share and nobody else has."""
        self._key = key

    def challenge(self, hello: Hello, *, now: datetime) -> Challenge:
        """Raises: InvalidInput `key.invalid` for what is no public nkey of a user, or no age recipient."""
        check_public_key(hello.public_key, KeyKind.USER)
        encryptor = Encryptor([_recipient(hello.recipient)])
        nonce = self._nonce(hello.token_id, hello.public_key, hello.recipient, now)
        sealed = bytes(encryptor.preamble) + encryptor.update(nonce) + encryptor.finish()
        return Challenge(sealed=sealed, issued_at=now)

    def check(self, join: Join, *, now: datetime) -> None:
        """Raises: Denied `join.unproven`, InvalidInput `key.invalid`."""
        check_public_key(join.public_key, KeyKind.USER)
        _recipient(join.recipient)
        if not now - _GOOD_FOR <= join.issued_at <= now + _SKEW:
            raise Denied("join.unproven", "the challenge is too old: run the join command again")
        expected = self._nonce(join.token_id, join.public_key, join.recipient, join.issued_at)
        if not hmac.compare_digest(expected, join.nonce):
            raise Denied("join.unproven", "the host did not prove that it holds the identity that it names")
        signed = signed_bytes(join.token_id, join.public_key, join.recipient, join.nonce)
        # A public nkey is base32 of a byte for its kind, the 32 bytes of the key, and two of a checksum.
        key = VerifyKey(base64.b32decode(join.public_key)[1:33])
        try:
            key.verify(signed, join.signature)
        except (BadSignatureError, ValueError):
            raise Denied("join.unproven", "the host did not prove that it holds the nkey that it names") from None

    def _nonce(self, token_id: str, public_key: str, recipient: str, issued_at: datetime) -> bytes:
        about = "\n".join((token_id, public_key, recipient, issued_at.isoformat()))
        return hmac.new(self._key, about.encode(), hashlib.sha256).digest()


def _recipient(text: str) -> Recipient:
    try:
        return Recipient.parse(text)
    except AgeError as exc:
        raise InvalidInput("key.invalid", f"not a recipient: {exc}", field="recipient") from None
