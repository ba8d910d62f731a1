"""The outside of s2 streams."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.drivers.nats.s2_frames import MAGIC, NATSARC, SNAPPY_MAGIC, TAR, FrameWalker


def _frame(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "little") + body


def _raw(data: bytes) -> bytes:
    return _frame(0x01, b"crc_" + data)


def _literal(data: bytes, unpacked: int) -> bytes:
    """A compressed frame that begins with a literal of less than 61 bytes."""
    size = bytearray()
    while unpacked >= 0x80:
        size.append(unpacked & 0x7F | 0x80)
        unpacked >>= 7
    size.append(unpacked)
    return _frame(0x00, b"crc_" + bytes(size) + bytes([(len(data) - 1) << 2]) + data + b"\x15\x01")


_STREAM = MAGIC + _literal(b"NATSARC1 and so on", 70_000) + _frame(0xFE, b"padding") + _raw(b"more") + _frame(0x99, b"index")


@given(st.lists(st.integers(0, len(_STREAM)), max_size=12))
def test_it_does_not_matter_how_a_stream_is_cut(cuts: list[int]) -> None:
    walker = FrameWalker()
    edges = [0, *sorted(cuts), len(_STREAM)]
    for start, end in itertools.pairwise(edges):
        walker.feed(_STREAM[start:end])
    assert walker.is_whole
    assert walker.archive == NATSARC
    assert walker.unpacked_bytes == 70_004


def test_a_stream_is_whole_at_the_end_of_a_frame_only() -> None:
    whole = [size for size in range(len(_STREAM) + 1) if _walked(_STREAM[:size]).is_whole]
    first = len(MAGIC + _literal(b"NATSARC1 and so on", 70_000))
    padded = first + len(_frame(0xFE, b"padding"))
    assert whole == [first, padded, padded + len(_raw(b"more")), len(_STREAM)]


def _walked(data: bytes) -> FrameWalker:
    walker = FrameWalker()
    walker.feed(data)
    return walker


@pytest.mark.parametrize("first", [_raw(b"NATSARC1\x00"), _literal(b"NATSARC1", 8)])
def test_archives_of_new_servers_are_known_by_their_first_bytes(first: bytes) -> None:
    assert _walked(MAGIC + first).archive == NATSARC


@pytest.mark.parametrize(
    "first", [_raw(b"meta.inf\x00"), _literal(b"PaxHeaders.0/meta.inf", 512), _frame(0, b"crc_\x05\x01\x02")]
)
def test_everything_else_is_a_tar(first: bytes) -> None:
    assert _walked(SNAPPY_MAGIC + first).archive == TAR


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04 no stream at all",
        b"\xff\x06\x00\x00S2sTwX",
        _raw(b"without a beginning"),
        MAGIC + _frame(0x02, b"reserved"),
        MAGIC + _frame(0x01, b"crc_"),
        MAGIC + _frame(0x00, b"crc_\xff\xff\xff\x7f\x04ab"),
    ],
)
def test_what_is_no_stream_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        _walked(data)
