"""A file that is not exactly the one that was written is refused, and nothing comes out that was not authenticated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.age import (
    CHUNK_SIZE,
    NONCE_SIZE,
    SEALED_CHUNK_SIZE,
    AgeError,
    Decryptor,
    FileKey,
    NoIdentityMatches,
    Oversized,
    PayloadCorrupt,
    StreamDecryptor,
    StreamEncryptor,
    TrailingData,
    Truncated,
)
from contracts.age.stream import ChunkCipher
from tests.contracts.age.samples import (
    HOLDER,
    READER,
    STRANGER,
    decrypted,
    encrypted,
    header_of,
    pieces,
    released,
    sealed_chunks,
)

SMALL = encrypted(b"a small secret", READER, HOLDER)
MIDDLE = bytes(range(256)) * 256
assert len(MIDDLE) == CHUNK_SIZE
PLAIN = b"".join(bytes([number]) * CHUNK_SIZE for number in range(1, 4)) + b"the end"
LARGE = encrypted(PLAIN)
PREAMBLE, CHUNKS = sealed_chunks(LARGE)


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_every_change_of_a_single_byte_is_refused(mask: int) -> None:
    for place in range(len(SMALL)):
        changed = bytearray(SMALL)
        changed[place] ^= mask
        plain, failure = released(bytes(changed))
        assert isinstance(failure, AgeError), place
        assert plain == b"", place


def test_every_truncation_is_refused() -> None:
    for size in range(len(SMALL)):
        plain, failure = released(SMALL[:size])
        assert isinstance(failure, Truncated | PayloadCorrupt), size
        assert plain == b"", size


def test_a_cut_in_the_header_the_nonce_or_between_chunks_is_called_truncation() -> None:
    start = header_of(LARGE).size
    for size in (
        0,
        1,
        start - 1,
        start,
        start + 1,
        start + NONCE_SIZE,
        start + NONCE_SIZE + 1,
        len(PREAMBLE) + SEALED_CHUNK_SIZE,
    ):
        assert isinstance(released(LARGE[:size])[1], Truncated), size


@pytest.mark.parametrize("tail", [b"\x00", b"\n", bytes(15), bytes(16), bytes(17), bytes(SEALED_CHUNK_SIZE), SMALL])
def test_every_extension_is_refused(tail: bytes) -> None:
    assert isinstance(released(SMALL + tail)[1], PayloadCorrupt)
    assert isinstance(released(LARGE + tail)[1], PayloadCorrupt)
    full = encrypted(MIDDLE)
    plain, failure = released(full + tail)
    assert isinstance(failure, TrailingData)
    assert plain == MIDDLE, "the final chunk is authentic as the final one; it is the file that is not"


def test_every_insertion_and_removal_of_a_byte_is_refused() -> None:
    for place in range(len(SMALL)):
        assert isinstance(released(SMALL[:place] + b"A" + SMALL[place:])[1], AgeError), place
        assert isinstance(released(SMALL[:place] + SMALL[place + 1 :])[1], AgeError), place


REARRANGED: dict[str, tuple[list[int], int]] = {
    "the first two exchanged": ([1, 0, 2, 3], 0),
    "the second and the third exchanged": ([0, 2, 1, 3], 1),
    "the first one twice": ([0, 0, 1, 2, 3], 1),
    "the second one twice": ([0, 1, 1, 2, 3], 2),
    "the final one twice": ([0, 1, 2, 3, 3], 3),
    "the first dropped": ([1, 2, 3], 0),
    "one in the middle dropped": ([0, 2, 3], 1),
    "the final one dropped": ([0, 1, 2], 3),
    "the final one only": ([3], 0),
    "the final one in the middle": ([0, 3, 1, 2], 1),
    "none": ([], 0),
}


@pytest.mark.parametrize(("order", "intact"), REARRANGED.values(), ids=REARRANGED.keys())
def test_chunks_that_are_moved_repeated_or_dropped_are_refused(order: list[int], intact: int) -> None:
    plain, failure = released(PREAMBLE + b"".join(CHUNKS[number] for number in order))
    assert isinstance(failure, PayloadCorrupt | Truncated)
    assert plain == PLAIN[: intact * CHUNK_SIZE]


def test_a_chunk_of_another_file_is_refused_even_under_the_same_file_key() -> None:
    key = FileKey(b"YELLOW SUBMARINE")

    def sealed(nonce: bytes) -> bytes:
        stream = StreamEncryptor(key, nonce)
        return stream.update(PLAIN) + stream.finish()

    one, other = sealed(bytes(16)), sealed(bytes(15) + b"\x01")
    stream = StreamDecryptor(key, bytes(16))
    assert stream.feed(one[:SEALED_CHUNK_SIZE]) == PLAIN[:CHUNK_SIZE]
    with pytest.raises(PayloadCorrupt) as caught:
        stream.feed(other[SEALED_CHUNK_SIZE : 2 * SEALED_CHUNK_SIZE])
    assert caught.value.chunk_index == 1


def test_an_empty_final_chunk_is_refused_after_a_full_one() -> None:
    """It is authentic, yet the same plaintext would have two encryptions."""
    cipher = ChunkCipher(FileKey(bytes(16)), bytes(16))
    first, final = memoryview(bytearray(SEALED_CHUNK_SIZE)), memoryview(bytearray(16))
    cipher.seal_into(0, memoryview(MIDDLE), first, last=False)
    cipher.seal_into(1, memoryview(b""), final, last=True)
    stream = StreamDecryptor(FileKey(bytes(16)), bytes(16))
    assert stream.feed(first) == MIDDLE
    assert stream.feed(final) == b""
    with pytest.raises(PayloadCorrupt, match="empty"):
        stream.finish()


@pytest.mark.parametrize("place", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, SEALED_CHUNK_SIZE - 1])
@pytest.mark.parametrize("bite", [1021, SEALED_CHUNK_SIZE, 10**6])
def test_nothing_of_a_corrupt_chunk_comes_out(place: int, bite: int) -> None:
    changed = bytearray(LARGE)
    changed[len(PREAMBLE) + SEALED_CHUNK_SIZE + place] ^= 1
    plain, failure = released(bytes(changed), bite=bite)
    assert plain == PLAIN[:CHUNK_SIZE]
    assert isinstance(failure, PayloadCorrupt)
    assert failure.chunk_index == 1
    assert failure.code == "age.payload_corrupt"


def test_a_callers_buffer_is_not_touched_by_a_corrupt_chunk() -> None:
    changed = bytearray(LARGE)
    changed[len(PREAMBLE) + SEALED_CHUNK_SIZE] ^= 1
    decryptor, out = Decryptor([HOLDER]), bytearray(b"?" * 10**6)
    done = decryptor.feed_into(changed, out)
    assert done.produced == CHUNK_SIZE
    assert out[CHUNK_SIZE:] == b"?" * (10**6 - CHUNK_SIZE)
    for call in (lambda: decryptor.feed(b""), lambda: decryptor.feed_into(b"x", out), decryptor.finish):
        with pytest.raises(PayloadCorrupt):
            call()


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, len(LARGE) - 1), bites=st.tuples(st.integers(500, 2**18), st.integers(500, 2**18)))
def test_what_comes_out_before_an_error_does_not_depend_on_the_cut_of_the_input(place: int, bites: tuple[int, int]) -> None:
    changed = bytearray(LARGE)
    changed[place] ^= 4
    results = [released(bytes(changed), bite=bite) for bite in bites]
    intact = max(0, place - len(PREAMBLE)) // SEALED_CHUNK_SIZE
    assert [plain for plain, _ in results] == [PLAIN[: intact * CHUNK_SIZE]] * 2
    assert len({type(failure) for _, failure in results}) == 1
    assert isinstance(results[0][1], AgeError)


def failures(file: bytes, holder_calls: list[Callable[[Decryptor], object]]) -> list[type[Exception]]:
    decryptor, seen = Decryptor([HOLDER]), list[type[Exception]]()
    for piece in pieces(file, 50):
        try:
            decryptor.feed(piece)
        except AgeError as exc:
            seen.append(type(exc))
    for call in holder_calls:
        with pytest.raises(AgeError) as caught:
            call(decryptor)
        seen.append(caught.type)
    return seen


def test_an_error_stays_whatever_is_fed_after_it() -> None:
    """A caller that goes on after an error must not be handed a later part as if it were the beginning."""
    wrong = encrypted(bytes(500), STRANGER)
    seen = failures(wrong + SMALL, [lambda d: d.feed(SMALL), lambda d: d.finish(), lambda d: d.finish()])
    assert set(seen) == {NoIdentityMatches}
    assert len(seen) > 10


def test_a_header_that_never_ends_is_refused_in_bounded_memory() -> None:
    decryptor = Decryptor([HOLDER])
    with pytest.raises(Oversized) as caught:
        decryptor.feed(b"age-encryption.org/v1\n" + b"-> x\n\n" * 10**6)
    assert caught.value.code == "age.oversized"
    assert len(decryptor._head) < 70_000


def test_the_untouched_files_open() -> None:
    assert decrypted(SMALL) == b"a small secret"
    assert decrypted(LARGE) == PLAIN
