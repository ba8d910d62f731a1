"""Records that somebody signed: one file that says what was done, and that anybody can check without us.

The file is a DSSE v1 envelope: `payload` is the base64 of the statement's bytes, and the Ed25519 signature is over

    "DSSEv1" SP <length of payloadType> SP <payloadType> SP <length of payload> SP <payload>

with lengths in bytes, so that the same bytes can never be taken for another kind of document.  The payload is canonical JSON
(UTF-8, fields sorted by name, no white space, times in UTC).  Public keys are written as the base64 line of a PEM file
(`SubjectPublicKeyInfo`, RFC 8410), which is what stock tools read.  Source: the DSSE protocol, version 1.0.0.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import datetime
from typing import Any, Final, Generic, Self, TypeVar

import msgspec
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey as _Ed25519Key
from nacl.signing import VerifyKey as _Ed25519PublicKey

from contracts.errors import Corrupt, InvalidInput
from contracts.wire import Decoder

T = TypeVar("T")

PAYLOAD_TYPE: Final = "application/vnd.strongroom.record+json"
FORMAT: Final = 1
MOST_BYTES: Final = 64 * 1024 * 1024
"""Longer than any record: what is longer is not read."""

_SEED_BYTES: Final = 32
_PUBLIC_BYTES: Final = 32
_SPKI_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")
"""DER of everything before the 32 bytes of an Ed25519 public key.  Source: RFC 8410, section 4."""
_PEM = re.compile(r"\A-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END PUBLIC KEY-----\Z")

HOW_TO_VERIFY: Final = (
    "Offline, with Strongroom: strongroom verify-record record.json --key signing-key.pem",
    "With stock tools (this file as record.json, the installation's public key as signing-key.pem):",
    "jq -r .payload record.json | base64 -d > payload",
    f"{{ printf 'DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} %d ' \"$(wc -c < payload)\"; cat payload; }} > signed",
    "jq -r '.signatures[0].sig' record.json | base64 -d > signature",
    "openssl pkeyutl -verify -pubin -inkey signing-key.pem -rawin -in signed -sigfile signature",
    "What is signed, to read: jq . payload",
)
"""In every record, so that it can be checked when nobody remembers what made it.  Changing it leaves older records valid."""


class PublicKey(msgspec.Struct, frozen=True):
    """The half of a signing key that everybody may know."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a PEM file's text, or from its base64 line alone.  Raises: InvalidInput `key.invalid`."""
        stripped = text.strip()
        pem = _PEM.match(stripped)
        line = "".join((pem.group(1) if pem else stripped).split())
        try:
            der = base64.b64decode(line, validate=True)
        except (ValueError, binascii.Error):
            der = b""
        raw = der.removeprefix(_SPKI_PREFIX)
        if len(raw) != _PUBLIC_BYTES or der == raw:
            raise InvalidInput(
                "key.invalid",
                "this is not the public half of a signing key: give what `strongroom signing-key` prints",
                field="key",
            )
        return cls(raw)

    def __str__(self) -> str:
        """The base64 line."""
        return base64.b64encode(_SPKI_PREFIX + self.raw).decode()

    @property
    def pem(self) -> str:
        return f"-----BEGIN PUBLIC KEY-----\n{self}\n-----END PUBLIC KEY-----\n"

    @property
    def id(self) -> str:
        """16 hexadecimal digits that tell keys apart; people compare the whole key."""
        return hashlib.sha256(self.raw).hexdigest()[:16]


class SigningKey:
    """The secret half; it shows itself to nobody by accident."""

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == _SEED_BYTES
        self._key = _Ed25519Key(seed)

    def __repr__(self) -> str:
        return "SigningKey(…)"

    @classmethod
    def generate(cls) -> Self:
        return cls(bytes(_Ed25519Key.generate()))

    def reveal(self) -> bytes:
        """The 32 bytes that it is, to be sealed."""
        return bytes(self._key)

    @property
    def public(self) -> PublicKey:
        return PublicKey(bytes(self._key.verify_key))

    def sign(self, data: bytes) -> bytes:
        """64 bytes; the same for the same data, so that whoever is cut off signs the same again."""
        return self._key.sign(data).signature


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keyid: str
    """`PublicKey.id` of the key; a hint, which nothing depends on."""
    sig: str
    """base64"""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file.  `how_to_verify` repeats what the signed statement says, for whoever opens it with an editor."""

    payloadType: str  # noqa: N815 - the standard's name
    payload: str
    """base64"""
    signatures: list[Signature]
    how_to_verify: list[str]


class Statement(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What is signed."""

    format: int
    kind: str
    """What `content` is about, such as `project-deletion`."""
    id: str
    """Tells the records of a kind apart."""
    signed_at: datetime
    signer: str
    """`PublicKey.id` of the key that signed."""
    how_to_verify: list[str]
    content: T


_envelopes: Final[Decoder[Envelope]] = Decoder(Envelope)
_statements: Final[Decoder[Statement[dict[str, Any]]]] = Decoder(Statement[dict[str, Any]])


def canonical(value: Any) -> bytes:
    """The one way to write a value: the bytes that are signed and that digests are taken of."""
    return msgspec.json.encode(value, order="sorted")


def sign(key: SigningKey, *, kind: str, id: str, at: datetime, content: Any) -> bytes:  # noqa: A002 - the field's name
    """A record as a file.  Pure: the same arguments give the same bytes.

    `content` is a Struct without floating-point numbers, of which no two programs agree how to write them.
    """
    public = key.public
    statement = Statement[Any](
        format=FORMAT,
        kind=kind,
        id=id,
        signed_at=at,
        signer=public.id,
        how_to_verify=list(HOW_TO_VERIFY),
        content=content,
    )
    payload = canonical(statement)
    envelope = Envelope(
        payloadType=PAYLOAD_TYPE,
        payload=_base64(payload),
        signatures=[Signature(keyid=public.id, sig=_base64(key.sign(_signed_bytes(PAYLOAD_TYPE, payload))))],
        how_to_verify=list(HOW_TO_VERIFY),
    )
    return msgspec.json.format(msgspec.json.encode(envelope), indent=2) + b"\n"


def verify(data: bytes, key: PublicKey) -> Statement[dict[str, Any]]:
    """What the record says, if the holder of `key` signed exactly that.

    Raises: Corrupt `signature.invalid` for a record that was changed or is none, `signature.other_key` for one that says
    itself that another key signed it.
    """
    envelope, payload = _opened(data)
    (signature,) = envelope.signatures
    try:
        _Ed25519PublicKey(key.raw).verify(_signed_bytes(envelope.payloadType, payload), _bytes(signature.sig, "sig"))
    except (CryptoError, ValueError) as exc:
        if signature.keyid != key.id:
            raise Corrupt(
                "signature.other_key",
                f"the record says that key {signature.keyid} signed it, which is not the key {key.id} that it was held "
                "against: ask the installation that made it for its public key (`strongroom signing-key`)",
                field="key",
            ) from exc
        raise Corrupt(
            "signature.invalid", f"the signature does not fit: the record is not as key {key.id} signed it"
        ) from exc
    statement = _stated(payload)
    # Nothing that the signature does not cover may tell the reader anything else than what it covers.
    if signature.keyid != key.id or statement.signer != key.id:
        raise Corrupt("signature.invalid", f"the record names another key than {key.id}, which signed it")
    if envelope.how_to_verify != statement.how_to_verify:
        raise Corrupt("signature.invalid", "what the record says of how to verify it was changed")
    return statement


def read_unverified(data: bytes) -> Statement[dict[str, Any]]:
    """What the record says, whoever wrote it.  Raises: Corrupt `signature.invalid` for what is no record."""
    return _stated(_opened(data)[1])


def content_as(statement: Statement[dict[str, Any]], type_: type[T]) -> T:
    """The content as what its kind says that it is.  Raises: Corrupt `signature.invalid`."""
    try:
        return msgspec.convert(statement.content, type_)
    except msgspec.ValidationError as exc:
        raise Corrupt("signature.invalid", f"the record's content is no {statement.kind}: {exc}") from exc


def _opened(data: bytes) -> tuple[Envelope, bytes]:
    if len(data) > MOST_BYTES:
        raise Corrupt("signature.invalid", f"this is no signed record: it has more than {MOST_BYTES} bytes")
    try:
        envelope = _envelopes.decode(data)
    except InvalidInput as exc:
        where = f" ({exc.field})" if exc.field else ""
        raise Corrupt("signature.invalid", f"this is no signed record: {exc.message}{where}") from exc
    if envelope.payloadType != PAYLOAD_TYPE:
        raise Corrupt("signature.invalid", f"this is no signed record of Strongroom, but {envelope.payloadType!r}")
    if len(envelope.signatures) != 1:
        raise Corrupt("signature.invalid", "a signed record has one signature")
    return envelope, _bytes(envelope.payload, "payload")


def _stated(payload: bytes) -> Statement[dict[str, Any]]:
    try:
        statement = _statements.decode(payload)
    except InvalidInput as exc:
        raise Corrupt("signature.invalid", f"the record's statement cannot be read: {exc.message}") from exc
    if statement.format > FORMAT:
        raise Corrupt(
            "signature.invalid",
            f"the record has format {statement.format}, and this program knows {FORMAT}: a newer one can read it",
        )
    return statement


def _signed_bytes(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str, field: str) -> bytes:
    """Only the one way to write them: a record that can be written differently could be two records."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        data = b""
    if _base64(data) != text:
        raise Corrupt("signature.invalid", f"this is no signed record: its {field} is not base64")
    return data
