"""Parts of the plaintext from parts of the file, each authentic for its place."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.age import (
    CHUNK_SIZE,
    NONCE_SIZE,
    SEALED_CHUNK_SIZE,
    TAG_SIZE,
    ChunkSpan,
    FileKey,
    PayloadCorrupt,
    PayloadReader,
    Truncated,
    unwrap_file_key,
)
from tests.contracts.age.samples import HOLDER, encrypted, header_of

PLAIN = random.Random(5).randbytes(3 * CHUNK_SIZE + 1000)  # noqa: S311 - test data
FILE = encrypted(PLAIN)


def reader_of(file: bytes, *, claimed_size: int | None = None) -> PayloadReader:
    header = header_of(file)
    return PayloadReader(
        unwrap_file_key(header, [HOLDER]),
        file[header.size : header.size + NONCE_SIZE],
        file_size=claimed_size or len(file),
        header_size=header.size,
    )


def fetched(file: bytes, span: ChunkSpan) -> bytes:
    return file[span.file_offset : span.file_offset + span.file_bytes]


@settings(max_examples=80, deadline=None)
@given(data=st.data(), size=st.sampled_from([0, 1, CHUNK_SIZE, 2 * CHUNK_SIZE, len(PLAIN)]))
def test_every_range_comes_from_the_chunks_that_hold_it(data: st.DataObject, size: int) -> None:
    file = FILE if size == len(PLAIN) else encrypted(PLAIN[:size])
    reader = reader_of(file)
    assert reader.plain_size == size
    offset = data.draw(st.integers(0, size))
    length = data.draw(st.integers(0, size - offset))
    span = reader.span(offset, length)
    assert reader.open(span, fetched(file, span)) == PLAIN[offset : offset + length]
    assert span.file_bytes <= length + 2 * SEALED_CHUNK_SIZE
    assert span.file_bytes == 0 or length > 0


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE, CHUNK_SIZE + 1])
def test_the_final_chunk_shows_that_the_file_has_its_right_length(size: int) -> None:
    file = encrypted(PLAIN[:size])
    reader = reader_of(file)
    span = reader.final_span()
    last = reader.chunk_count - 1
    assert reader.open(span, fetched(file, span)) == PLAIN[last * CHUNK_SIZE : size]
    assert span.file_offset + span.file_bytes == len(file)


def test_a_file_cut_between_chunks_fails_at_its_end_and_nowhere_else() -> None:
    start = header_of(FILE).size + NONCE_SIZE
    cut = FILE[: start + 2 * SEALED_CHUNK_SIZE]
    reader = reader_of(cut)
    assert reader.plain_size == 2 * CHUNK_SIZE, "which is a lie, as the final chunk shows"
    with pytest.raises(PayloadCorrupt):
        reader.open(reader.final_span(), fetched(cut, reader.final_span()))
    with pytest.raises(PayloadCorrupt):
        reader.open(reader.span(0, 2 * CHUNK_SIZE), cut[start:])
    span = reader.span(5, 10)
    assert reader.open(span, fetched(cut, span)) == PLAIN[5:15]


def test_a_claim_of_a_longer_or_shorter_file_does_not_pass_the_final_chunk() -> None:
    for claim in (len(FILE) - 1, len(FILE) - 1000 - TAG_SIZE, len(FILE) + 1):
        reader = reader_of(FILE, claimed_size=claim)
        span = reader.final_span()
        with pytest.raises(PayloadCorrupt):
            reader.open(span, FILE[span.file_offset : span.file_offset + span.file_bytes].ljust(span.file_bytes, b"\0"))


def test_a_chunk_opens_at_its_own_place_only() -> None:
    reader, start = reader_of(FILE), header_of(FILE).size + NONCE_SIZE
    second = FILE[start + SEALED_CHUNK_SIZE : start + 2 * SEALED_CHUNK_SIZE]
    assert reader.open_chunk(1, second) == PLAIN[CHUNK_SIZE : 2 * CHUNK_SIZE]
    for index in (0, 2, 3):
        with pytest.raises(PayloadCorrupt) as caught:
            reader.open_chunk(index, second)
        assert caught.value.chunk_index == index
    for index in (-1, 4):
        with pytest.raises(ValueError, match="4 chunks"):
            reader.open_chunk(index, second)


@pytest.mark.parametrize("change", ["short", "long", "empty", "flipped"])
def test_other_bytes_than_those_asked_for_are_refused(change: str) -> None:
    reader = reader_of(FILE)
    span = reader.span(CHUNK_SIZE - 1, 2)
    good = fetched(FILE, span)
    bad = {"short": good[:-1], "long": good + b"x", "empty": b"", "flipped": good[:-1] + bytes([good[-1] ^ 1])}[change]
    with pytest.raises(PayloadCorrupt):
        reader.open(span, bad)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (0, len(PLAIN) + 1), (len(PLAIN), 1), (len(PLAIN) + 1, 0)])
def test_a_range_beyond_the_plaintext_is_a_mistake_of_the_caller(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="not within"):
        reader_of(FILE).span(offset, length)


def test_an_impossible_file_size_is_refused_at_once() -> None:
    with pytest.raises(Truncated):
        PayloadReader(FileKey(bytes(16)), bytes(16), file_size=200, header_size=200)


def test_threads_may_share_a_reader() -> None:
    reader = reader_of(FILE)
    spans = [reader.span(offset, 70_000) for offset in range(0, 120_000, 997)]
    with ThreadPoolExecutor(2) as pool:
        opened = list(pool.map(lambda span: reader.open(span, fetched(FILE, span)), spans))
    assert opened == [PLAIN[offset : offset + 70_000] for offset in range(0, 120_000, 997)]
