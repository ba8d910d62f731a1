"""The pure rules of the data path: cutting, pausing, judging, and cutting between blocks."""

from __future__ import annotations

import random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.datapath import RetryLimits
from agents.datapath.compressing import compression_parameters
from agents.datapath.cutting import PartRoom, part_rooms
from agents.datapath.retrying import Retries
from agents.datapath.store_answers import Next, read_answer
from agents.datapath.zstd_blocks import BLOCKS_PER_PIECE, BlockSplitter
from contracts.errors import StrongroomError
from contracts.multipart import (
    DEFAULT_PART_BYTES,
    MAX_OBJECT_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    MIB,
    base_part_size,
    part_size,
)

BLOCK_OUTPUT = 128 * 1024
bases = st.integers(DEFAULT_PART_BYTES // MIB, MAX_PART_BYTES // MIB).map(lambda mib: mib * MIB)


def all_rooms(base: int) -> list[PartRoom]:
    """Every part that there is room for, until the object is full."""
    rooms: list[PartRoom] = []
    with pytest.raises(StrongroomError, match=r"upload\.too_large"):
        rooms.extend(part_rooms(base))  # extends by what came before the error
    return rooms


@settings(max_examples=10, deadline=None)
@given(bases)
def test_parts_are_as_large_as_both_sides_agreed_until_the_object_is_full(base: int) -> None:
    rooms = all_rooms(base)
    assert len(rooms) <= MAX_PARTS
    assert [room.number for room in rooms] == list(range(1, len(rooms) + 1))
    assert all(room.size_bytes == part_size(base, room.number) for room in rooms[:-1])
    assert 0 < rooms[-1].size_bytes <= part_size(base, len(rooms))
    assert sum(room.size_bytes for room in rooms) == MAX_OBJECT_BYTES


@pytest.mark.parametrize("base", [DEFAULT_PART_BYTES, base_part_size(MAX_OBJECT_BYTES), MAX_PART_BYTES])
def test_five_tib_fit_whatever_was_expected(base: int) -> None:
    assert sum(room.size_bytes for room in all_rooms(base)) == MAX_OBJECT_BYTES


LIMITS = RetryLimits(tries=6, total_s=100, first_pause_s=1, longest_pause_s=5)


@pytest.mark.parametrize(("dice", "expected"), [(1.0, [1, 2, 4, 5, 5]), (0.0, [0.5, 1, 2, 2.5, 2.5])])
def test_pauses_double_up_to_the_longest_and_half_of_each_is_chance(dice: float, expected: list[float]) -> None:
    retries = Retries(LIMITS, clock=lambda: 0.0, dice=lambda: dice)
    assert [retries.next_pause_s() for _ in range(5)] == expected
    assert retries.next_pause_s() is None
    assert retries.made == LIMITS.tries


def test_no_try_begins_after_the_time_is_over() -> None:
    now = 0.0
    retries = Retries(LIMITS, clock=lambda: now, dice=lambda: 1.0)
    now = 98.5
    assert retries.next_pause_s() == 1
    now = 99.5
    assert retries.next_pause_s() is None


def test_what_the_store_wishes_is_heeded_within_reason() -> None:
    retries = Retries(LIMITS, clock=lambda: 0.0, dice=lambda: 1.0)
    assert retries.next_pause_s(wished_s=3) == 3
    assert retries.next_pause_s(wished_s=3600) == LIMITS.longest_pause_s


def xml(code: str, message: str = "") -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message><StringToSign>secret</StringToSign></Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, xml("AccessDenied", "Request has expired"), Next.RENEW),
        (403, xml("SignatureDoesNotMatch"), Next.RENEW),
        (403, b"", Next.RENEW),
        (400, xml("ExpiredToken"), Next.RENEW),
        (401, b"", Next.RENEW),
        (404, xml("NoSuchUpload"), Next.RENEW),
        (400, xml("BadDigest"), Next.DAMAGED),
        (400, xml("RequestTimeout"), Next.RETRY),
        (400, xml("EntityTooLarge"), Next.REFUSED),
        (405, b"", Next.REFUSED),
        (408, b"", Next.RETRY),
        (409, xml("OperationAborted"), Next.RETRY),
        (429, b"", Next.RETRY),
        (500, xml("InternalError"), Next.RETRY),
        (502, b"<html>bad gateway</html>", Next.RETRY),
        (503, xml("SlowDown"), Next.RETRY),
        (504, b"", Next.RETRY),
        (307, b"", Next.RETRY),
        (507, b"", Next.FULL),
        (403, xml("QuotaExceeded"), Next.FULL),
        (500, xml("InternalError", "write /data/7.dat: no space left on device"), Next.FULL),
        (503, xml("XMinioStorageFull"), Next.FULL),
        (500, b"\xff\xfe not text", Next.RETRY),
    ],
)
def test_what_an_answer_of_the_store_means(status: int, body: bytes, expected: Next) -> None:
    judged = read_answer(status, {}, body)
    assert judged.next is expected
    assert judged.words.startswith(str(status))
    assert "secret" not in judged.words


@pytest.mark.parametrize(
    ("header", "expected"), [("7", 7.0), ("-1", 0.0), ("", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)]
)
def test_retry_after(header: str, expected: float) -> None:
    assert read_answer(503, {"Retry-After": header}, b"").retry_after_s == expected


def frame(data: bytes, level: int, *, sized: bool) -> bytes:
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=sized)
    return compressor.compress(data)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    zeros=st.integers(0, 3 * MIB),
    noise=st.integers(0, 400_000),
    level=st.sampled_from([1, 3, 9]),
    sized=st.booleans(),
    cuts=st.lists(st.integers(1, 300_000), min_size=1, max_size=8),
)
def test_pieces_of_a_frame_are_the_frame_and_each_becomes_little(
    seed: int, zeros: int, noise: int, level: int, sized: bool, cuts: list[int]
) -> None:
    dice = random.Random(seed)  # noqa: S311 - the same data for the same seed
    data = bytes(zeros) + dice.randbytes(noise) + bytes(zeros)
    whole = frame(data, level, sized=sized)
    splitter = BlockSplitter()
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    seen, opened = b"", b""
    at = turn = 0
    while at < len(whole):
        step = cuts[turn % len(cuts)]
        for piece in splitter.split(memoryview(whole)[at : at + step]):
            seen += piece
            output = decompressor.decompress(piece)
            assert len(output) <= (BLOCKS_PER_PIECE + 1) * BLOCK_OUTPUT
            opened += output
        at += step
        turn += 1
    assert seen == whole
    assert opened == data
    assert decompressor.eof


def test_bytes_that_are_no_frame_are_passed_on_whole() -> None:
    noise = random.Random(5).randbytes(1_000_000)  # noqa: S311 - the same each time
    assert b"".join(BlockSplitter().split(memoryview(noise))) == noise


@pytest.mark.parametrize("level", range(1, 20))
def test_a_compressor_of_any_level_stays_small_and_writes_a_standard_frame(level: int) -> None:
    parameters = compression_parameters(level)
    assert parameters.estimated_compression_context_size() + (1 << parameters.window_log) <= 16 * MIB
    data = b"a row of a table, again and again\n" * 5000
    chunker = zstandard.ZstdCompressor(compression_params=parameters).chunker(chunk_size=1000)
    written = b"".join([*chunker.compress(data), *chunker.finish()])  # type: ignore[no-untyped-call]
    described = zstandard.get_frame_parameters(written)
    assert described.has_checksum
    assert described.window_size <= 8 * MIB
    assert zstandard.ZstdDecompressor().decompressobj().decompress(written) == data
