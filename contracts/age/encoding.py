"""The one base64 of the format: standard alphabet, no padding, canonical."""

from __future__ import annotations

import binascii

from contracts.age.errors import Malformed


def encode_base64(raw: bytes) -> bytes:
    """RFC 4648 section 4 without `=`."""
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=")


def decode_base64(text: bytes) -> bytes:
    """The bytes of which `text` is the one allowed encoding.

    Source: "Conventions used in this document" and RFC 4648 section 3.5.
    Raises: Malformed for padding, a foreign character, an impossible length or stray bits after the last byte.
    """
    try:
        raw = binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error as exc:
        raise Malformed("a base64 value has an impossible length") from exc
    # The decoder skips what it does not know and ignores stray bits.  Only the canonical text survives the way back.
    if encode_base64(raw) != text:
        raise Malformed("a base64 value is not canonical: padded, with foreign characters or with stray bits")
    return raw
