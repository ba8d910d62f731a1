"""How a host is let in: the join token, what its agent and the coordinator say to each other, and what is proved there.

    strongroom.enrol.hello   Hello   ─▶ Challenge   sealed to the identity that the host claims to hold
    strongroom.enrol.join    Join    ─▶ Admission   the opened challenge, signed by the nkey that the host claims to hold
    strongroom.agent.<node>.renew    ─▶ Renewed     fresh credentials for the key that the node joined with

Each is answered with `Refused` instead where the coordinator says no.  A token reads `srj1_<data>_<checksum>`: base64url of
compressed JSON, and the first 8 hexadecimal digits of the SHA-256 of all that stands before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from datetime import datetime
from typing import Annotated, Final

import msgspec

from contracts.access import TokenId
from contracts.errors import ErrorInfo, InvalidInput
from contracts.ids import Slug
from contracts.wire import Decoder, encode

HELLO_SUBJECT: Final = "strongroom.enrol.hello"
JOIN_SUBJECT: Final = "strongroom.enrol.join"
_PREFIX: Final = "srj1"
_TOKEN: Final = re.compile(r"(srj1_[A-Za-z0-9_-]+)_([0-9a-f]{8})")
_MOST_CHARACTERS: Final = 64 * 1024
_MOST_BYTES: Final = 256 * 1024
"""Of the JSON inside: an authority's certificate has a few thousand."""
_CONTEXT: Final = b"strongroom join v1\n"

PublicKey = Annotated[str, msgspec.Meta(pattern=r"\AU[A-Z2-7]{55}\Z")]
AgeRecipient = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class JoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a host needs to ask for being let in, once."""

    id: TokenId
    secret: str
    node: Slug
    url: str
    """How agents reach the NATS servers: one URL, or several with commas between."""
    guest_seed: str
    guest_jwt: str
    expires_at: datetime
    ca_pem: str = ""
    """The authority that signed the servers' certificates; empty: one that the host trusts anyway."""

    def __repr__(self) -> str:
        return f"JoinToken(id={self.id!r}, node={self.node!r})"

    def reveal(self) -> str:
        """The token in one line, for the one place that shows it."""
        body = base64.urlsafe_b64encode(zlib.compress(encode(self), 9)).rstrip(b"=").decode()
        text = f"{_PREFIX}_{body}"
        return f"{text}_{_checksum(text)}"

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Raises: InvalidInput `join.malformed`, which tells a token that was cut off from one that is none."""
        text = text.strip()
        if not text.startswith("srj"):
            raise _malformed("this is no join token: those begin with srj1_, as `strongroom node enroll` prints them")
        if not text.startswith(f"{_PREFIX}_"):
            raise _malformed("this join token is of another version: install the Strongroom that made it on this host")
        match = _TOKEN.fullmatch(text)
        if len(text) > _MOST_CHARACTERS or match is None or _checksum(match[1]) != match[2]:
            raise _malformed("the join token was cut off or changed on its way: copy the whole line again")
        try:
            body = match[1].removeprefix(f"{_PREFIX}_")
            inflate = zlib.decompressobj()
            raw = inflate.decompress(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), _MOST_BYTES)
            return _token_decoder.decode(raw)
        except (binascii.Error, zlib.error, ValueError, InvalidInput):
            # `from None`: the inner error may quote the token.
            raise _malformed("the join token holds nothing that this version understands") from None


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """A host says who it wants to be."""

    token_id: TokenId
    public_key: PublicKey
    recipient: AgeRecipient


class Challenge(msgspec.Struct, frozen=True, kw_only=True, tag="challenge"):
    """An age file for the recipient of the `Hello`; inside is the nonce."""

    sealed: bytes
    issued_at: datetime


class Join(msgspec.Struct, frozen=True, kw_only=True, tag="join"):
    """The proofs.  Whoever repeats it with the same keys is answered the same again."""

    token_id: TokenId
    secret: str
    public_key: PublicKey
    recipient: AgeRecipient
    issued_at: datetime
    """Of the challenge."""
    nonce: bytes
    signature: bytes
    """Of `signed_bytes`, by the nkey."""
    agent_version: str = ""


class JoinedService(msgspec.Struct, frozen=True, kw_only=True):
    """A service that names this node."""

    service: str
    """`project/service`."""
    kind: str


class Admission(msgspec.Struct, frozen=True, kw_only=True, tag="admission"):
    """What the host needs to run its agent; none of it is secret."""

    node: Slug
    user_jwt: str
    expires_at: datetime | None
    services: list[JoinedService] = []


class Renewed(msgspec.Struct, frozen=True, kw_only=True, tag="renewed"):
    user_jwt: str
    expires_at: datetime | None


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    error: ErrorInfo


hello_decoder: Decoder[Hello] = Decoder(Hello)
join_decoder: Decoder[Join] = Decoder(Join)
challenge_decoder: Decoder[Challenge | Refused] = Decoder(Challenge | Refused)
admission_decoder: Decoder[Admission | Refused] = Decoder(Admission | Refused)
renewed_decoder: Decoder[Renewed | Refused] = Decoder(Renewed | Refused)
_token_decoder: Decoder[JoinToken] = Decoder(JoinToken)


def signed_bytes(token_id: str, public_key: str, recipient: str, nonce: bytes) -> bytes:
    """What the nkey signs: the token, both keys, and the nonce that only the identity could read."""
    return _CONTEXT + "\n".join((token_id, public_key, recipient, nonce.hex())).encode()


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _malformed(message: str) -> InvalidInput:
    return InvalidInput("join.malformed", message, field="token")
