"""Whole files as they stream: any cut of the input and any room for the output give the same file and the same plaintext."""

from __future__ import annotations

import base64
import random
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.age import (
    CHUNK_SIZE,
    NONCE_SIZE,
    SEALED_CHUNK_SIZE,
    TAG_SIZE,
    BadKey,
    BadRecipients,
    Decryptor,
    Encryptor,
    FileKey,
    HeaderMacMismatch,
    PayloadCorrupt,
    Progress,
    StreamDecryptor,
    StreamEncryptor,
    Truncated,
    chunk_count,
    ciphertext_size,
    header_size,
    plaintext_size,
)
from tests.contracts.age.samples import HOLDER, READER, STRANGER, decrypted, encrypted, header_of, sealed_chunks

FILE_KEY = FileKey(b"YELLOW SUBMARINE")
NONCE = bytes(range(16))
NOISE = random.Random(7).randbytes(4 * CHUNK_SIZE + 5)  # noqa: S311 - test data
EDGES = [0, 1, TAG_SIZE, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, 3 * CHUNK_SIZE + 7]

sizes = st.sampled_from(EDGES) | st.integers(0, len(NOISE))
cuts = st.lists(st.sampled_from([1, 15, CHUNK_SIZE - 1, CHUNK_SIZE, SEALED_CHUNK_SIZE, 2**18]), min_size=1, max_size=4)


def run_through(stream: StreamEncryptor | StreamDecryptor, data: bytes, cuts: list[int], rooms: list[int]) -> bytes:
    """All output of a stream whose input is cut as `cuts` say, and whose outputs have the sizes in `rooms`."""
    step = stream.update_into if isinstance(stream, StreamEncryptor) else stream.feed_into
    result, at = bytearray(), 0
    room, cut = cycle(rooms), cycle(cuts)
    while at < len(data):
        piece = memoryview(data)[at : at + next(cut)]
        out = bytearray(next(room))
        done = step(piece, out)
        assert done.consumed == len(piece) or done.produced == len(out), "stopped with both input and room left"
        result += out[: done.produced]
        at += done.consumed
    finished = False
    while not finished:
        out = bytearray(next(room))
        produced, finished = stream.finish_into(out)
        assert finished or produced == len(out)
        result += out[:produced]
    return bytes(result)


@settings(max_examples=60, deadline=None)
@given(size=sizes, cuts=cuts, rooms=cuts)
def test_cuts_and_rooms_do_not_change_the_file(size: int, cuts: list[int], rooms: list[int]) -> None:
    plain = NOISE[:size]
    if min(rooms) < 100:
        rooms = [*rooms, 2**17]  # one byte at a time only now and then: a test has to end
    whole = StreamEncryptor(FILE_KEY, NONCE)
    sealed = whole.update(plain) + whole.finish()
    cut_cuts = [*cuts, 2**16] if min(cuts) < 100 else cuts
    assert run_through(StreamEncryptor(FILE_KEY, NONCE), plain, cut_cuts, rooms) == sealed
    assert run_through(StreamDecryptor(FILE_KEY, NONCE), sealed, cut_cuts, rooms) == plain
    assert len(sealed) + NONCE_SIZE == ciphertext_size(size, header_size=0)


@settings(max_examples=40, deadline=None)
@given(size=sizes, cut=st.integers(1, 2**17), data=st.data())
def test_a_file_comes_back_through_update_and_feed(size: int, cut: int, data: st.DataObject) -> None:
    plain, cut = NOISE[:size], max(cut, size // 50)
    encryptor = Encryptor([HOLDER.recipient, READER.recipient])
    parts = [encryptor.update(plain[at : at + cut]) for at in range(0, size, cut)]
    file = b"".join([encryptor.preamble, *parts, encryptor.finish()])
    assert len(file) == ciphertext_size(size, header_size(2))
    decryptor = Decryptor([data.draw(st.sampled_from([HOLDER, READER]))])
    opened = [decryptor.feed(file[at : at + cut]) for at in range(0, len(file), cut)]
    assert b"".join([*opened, decryptor.finish()]) == plain


def test_a_file_fed_byte_by_byte_opens() -> None:
    file = encrypted(b"strongroom", STRANGER, HOLDER)
    decryptor = Decryptor([HOLDER])
    opened = [decryptor.feed(bytes([byte])) for byte in file]
    assert set(opened) == {b""}
    assert decryptor.finish() == b"strongroom"
    assert decryptor.header == header_of(file)


def test_the_preamble_is_the_header_and_a_fresh_nonce() -> None:
    one, other = Encryptor([HOLDER.recipient]), Encryptor([HOLDER.recipient])
    assert one.preamble[: len(one.header)] == one.header
    assert len(one.preamble) == header_size(1) + NONCE_SIZE
    assert one.preamble[len(one.header) :] != other.preamble[len(other.header) :]
    with pytest.raises(BadRecipients):
        Encryptor([])


def test_the_parts_of_an_upload_are_filled_to_the_last_byte() -> None:
    """The example in the documentation of `update_into`, with a part size that has nothing to do with chunks."""
    encryptor, parts = Encryptor([HOLDER.recipient]), [bytearray(100_003)]
    filled = len(encryptor.preamble)
    parts[0][:filled] = encryptor.preamble
    data = memoryview(NOISE)
    while data:
        done = encryptor.update_into(data, memoryview(parts[-1])[filled:])
        data, filled = data[done.consumed :], filled + done.produced
        if filled == len(parts[-1]):
            parts.append(bytearray(100_003))
            filled = 0
    finished = False
    while not finished:
        produced, finished = encryptor.finish_into(memoryview(parts[-1])[filled:])
        filled += produced
        if not finished:
            parts.append(bytearray(100_003))
            filled = 0
    assert decrypted(b"".join(parts[:-1]) + parts[-1][:filled]) == NOISE


def test_a_kept_file_of_the_age_program_still_opens() -> None:
    kept = (
        "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSA4RURZZmFFeGE1MGk0bTBZMEh6dHZKbUVnQmtOTGRadXJoVzFGd3czeHhR"
        "CmFlY3VMTS9NeW1pSXJ0MXpSd2NsWmwxMklYNVJvR0lKUG9ZUHJLdkgvdWMKLS0tIEVtM2E2T0UxVEdmK1hTc2Z6S0ZHTjVxekNh"
        "emlsaDd4a05yR0JwMGUrVDQKwBJMi8ErasbW//jBhEFaOmcfFAmQYCG1l7Aw7zQ4CkDEqUH0+1BHFIKQiA=="
    )
    assert decrypted(base64.b64decode(kept)) == b"strongroom\n"


def test_a_file_opens_with_its_file_key_alone() -> None:
    encryptor = Encryptor([STRANGER.recipient], file_key=FILE_KEY)
    file = encryptor.preamble + encryptor.update(b"data") + encryptor.finish()
    decryptor = Decryptor.with_file_key(FILE_KEY)
    assert decryptor.feed(file) + decryptor.finish() == b"data"
    with pytest.raises(HeaderMacMismatch):
        Decryptor.with_file_key(FileKey.generate()).feed(file)


def test_chunks_bear_their_index_and_the_last_one_its_mark() -> None:
    _, chunks = sealed_chunks(encrypted(bytes(2 * CHUNK_SIZE)))
    assert [len(chunk) for chunk in chunks] == [SEALED_CHUNK_SIZE] * 2
    assert chunks[0] != chunks[1]


def test_a_finished_stream_takes_no_more() -> None:
    encryptor = Encryptor([HOLDER.recipient])
    file = encryptor.preamble + encryptor.finish()
    with pytest.raises(RuntimeError, match="finished"):
        encryptor.update(b"x")
    with pytest.raises(RuntimeError, match="finished"):
        encryptor.finish()
    assert encryptor.finish_into(bytearray(9)) == (0, True)
    decryptor = Decryptor([HOLDER])
    assert decryptor.feed(file) + decryptor.finish() == b""
    with pytest.raises(RuntimeError, match="finished"):
        decryptor.finish()
    with pytest.raises(RuntimeError, match="finished"):
        decryptor.feed(b"x")


def test_an_unusable_buffer_is_refused_before_anything_is_sealed() -> None:
    stream = StreamEncryptor(FILE_KEY, NONCE)
    with pytest.raises(ValueError, match="read-only"):
        stream.update_into(NOISE, memoryview(bytes(2**20)))
    with pytest.raises(TypeError):
        stream.update_into(memoryview(NOISE)[::2], bytearray(2**20))
    assert stream.update_into(b"x", bytearray()) == Progress(1, 0)
    opened = StreamDecryptor(FILE_KEY, NONCE)
    assert opened.feed(stream.finish()) + opened.finish() == b"x"


def test_views_of_other_items_than_bytes_count_bytes() -> None:
    view = memoryview(bytearray(8 * 20_000)).cast("Q")
    stream = StreamEncryptor(FILE_KEY, NONCE)
    sealed = stream.update(view) + stream.finish()
    opened = StreamDecryptor(FILE_KEY, NONCE)
    assert opened.feed(sealed) + opened.finish() == bytes(8 * 20_000)


def test_a_stream_whose_call_failed_half_way_cannot_be_continued() -> None:
    """The index of a chunk that may have been sealed must not be used again."""
    stream = StreamEncryptor(FILE_KEY, NONCE)
    stream._cipher = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        stream.update(bytes(2 * CHUNK_SIZE))
    with pytest.raises(RuntimeError, match="cannot be continued"):
        stream.update(b"x")
    with pytest.raises(RuntimeError, match="cannot be continued"):
        stream.finish()


@pytest.mark.parametrize("size", [0, 12, 15, 17])
def test_a_nonce_has_sixteen_bytes(size: int) -> None:
    with pytest.raises(BadKey, match="nonce"):
        StreamEncryptor(FILE_KEY, bytes(size))


@settings(max_examples=200, deadline=None)
@given(plain=sizes | st.integers(0, 2**43), header=st.integers(70, 2**16))
def test_plain_and_file_sizes_are_inverse(plain: int, header: int) -> None:
    file_size = ciphertext_size(plain, header)
    assert plaintext_size(file_size, header) == plain
    assert file_size - header - NONCE_SIZE - plain == TAG_SIZE * chunk_count(plain)


def test_sizes_that_no_file_has_are_refused() -> None:
    whole = ciphertext_size(CHUNK_SIZE, 200)
    assert plaintext_size(whole, 200) == CHUNK_SIZE
    for size in (0, 200, 216, 231, *range(whole + 1, whole + TAG_SIZE)):
        with pytest.raises(Truncated):
            plaintext_size(size, 200)
    with pytest.raises(PayloadCorrupt, match="empty"):
        plaintext_size(whole + TAG_SIZE, 200)
    assert plaintext_size(whole + TAG_SIZE + 1, 200) == CHUNK_SIZE + 1
    with pytest.raises(ValueError, match="negative"):
        ciphertext_size(-1, 200)
