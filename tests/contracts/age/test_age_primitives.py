"""The building blocks against the vectors of their own standards."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.age import LowOrderPoint, Malformed
from contracts.age.encoding import decode_base64, encode_base64
from contracts.age.primitives import hkdf_sha256, hmac_sha256, unwrap, wrap, x25519, x25519_public


@pytest.mark.parametrize(
    ("salt", "info", "key"),
    [
        (
            bytes(range(13)),
            bytes(range(0xF0, 0xFA)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
        ),
        (b"", b"", "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"),
    ],
    ids=["case 1", "case 3, neither salt nor info"],
)
def test_hkdf_gives_the_first_block_of_rfc_5869(salt: bytes, info: bytes, key: str) -> None:
    assert hkdf_sha256(b"\x0b" * 22, salt=salt, info=info).hex() == key


def test_hmac_gives_the_tag_of_rfc_4231() -> None:
    tag = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    assert hmac_sha256(b"\x0b" * 20, b"Hi There").hex() == tag


def test_x25519_gives_the_result_of_rfc_7748() -> None:
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert x25519(scalar, point).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"


def test_x25519_agrees_from_both_sides() -> None:
    one, other = bytes(range(32)), bytes(range(100, 132))
    assert x25519(one, x25519_public(other)) == x25519(other, x25519_public(one))


@pytest.mark.parametrize(
    "point",
    [
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "00" * 31 + "80",
        "01" + "00" * 30 + "80",
    ],
)
def test_a_shared_secret_of_zeros_is_refused(point: str) -> None:
    with pytest.raises(LowOrderPoint):
        x25519(bytes(range(32)), bytes.fromhex(point))


def test_a_wrapped_key_opens_with_its_wrap_key_only() -> None:
    body = wrap(b"k" * 32, b"f" * 16)
    assert len(body) == 32
    assert unwrap(b"k" * 32, body) == b"f" * 16
    assert unwrap(b"K" * 32, body) is None
    assert unwrap(b"k" * 32, body[:-1] + bytes([body[-1] ^ 1])) is None


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=70))
def test_base64_comes_back(raw: bytes) -> None:
    assert decode_base64(encode_base64(raw)) == raw


@pytest.mark.parametrize(
    "text",
    [b"A", b"AAAAA", b"AA==", b"AAA=", b"AB", b"AAB", b"AA\n", b"AA A", b"AAA-", b"AA_A", b"AA\r", b"\xc3\xa4AA", b"="],
)
def test_base64_that_is_not_canonical_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        decode_base64(text)


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from("AQgwB/+=\n _"), max_size=9))
def test_no_two_texts_decode_to_the_same_bytes(text: str) -> None:
    """Otherwise a header could be changed without changing what it says."""
    encoded = text.encode()
    try:
        raw = decode_base64(encoded)
    except Malformed:
        return
    assert encode_base64(raw) == encoded
