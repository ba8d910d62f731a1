"""A reader gets a new header before the original payload; the holder's identity and the payload stay where they are."""

from __future__ import annotations

import pytest

from contracts.age import (
    CHUNK_SIZE,
    HeaderMacMismatch,
    NoIdentityMatches,
    PayloadCorrupt,
    make_header,
    unwrap_file_key,
)
from tests.contracts.age.samples import HOLDER, READER, STRANGER, decrypted, encrypted, header_of


@pytest.mark.parametrize("size", [0, 11, CHUNK_SIZE, 2 * CHUNK_SIZE + 1])
def test_a_new_header_before_the_original_payload_is_a_file_for_the_reader(size: int) -> None:
    plain = bytes(size)
    original = encrypted(plain, HOLDER, STRANGER)
    header = header_of(original)
    resealed = make_header(unwrap_file_key(header, [HOLDER]), [READER.recipient]) + original[header.size :]
    assert decrypted(resealed, READER) == plain
    for other in (HOLDER, STRANGER):
        with pytest.raises(NoIdentityMatches):
            decrypted(resealed, other)
    assert decrypted(original, HOLDER) == plain


def test_only_the_header_is_needed_to_reseal() -> None:
    original = encrypted(b"payload that the holder of the identity never sees", HOLDER)
    header = header_of(original)
    alone = header_of(original[: header.size])
    assert alone == header
    resealed = make_header(unwrap_file_key(alone, [HOLDER]), [READER.recipient]) + original[header.size :]
    assert decrypted(resealed, READER) == decrypted(original, HOLDER)


def test_a_header_made_with_another_file_key_does_not_open_the_payload() -> None:
    one, other = encrypted(b"one", HOLDER), encrypted(b"other", HOLDER)
    mixed = one[: header_of(one).size] + other[header_of(other).size :]
    with pytest.raises(PayloadCorrupt):
        decrypted(mixed, HOLDER)


def test_a_changed_header_is_not_resealed() -> None:
    original = encrypted(b"data", HOLDER, STRANGER)
    second = original.index(b"-> X25519", 40)
    cut = original[:second] + original[original.index(b"---") :]
    with pytest.raises(HeaderMacMismatch):
        unwrap_file_key(header_of(cut), [HOLDER])
