"""Server-sent events as bytes: whatever is sent arrives, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import StrongroomError
from contracts.wire import encode
from daemon.sse import HEARTBEAT, EndReason, Frame, FrameDecoder, StreamEnd, encode_frame, end_decoder

_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=20).filter(
    lambda text: not text.startswith(" ")
)
_DATA = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60)
_FRAMES = st.lists(st.builds(Frame, _NAMES, _DATA, st.integers(1, 10**9).map(str)), max_size=6)


@given(_FRAMES, st.lists(st.integers(1, 40)))
def test_frames_survive_the_way_however_they_are_cut(frames: list[Frame], cuts: list[int]) -> None:
    data = b"".join(encode_frame(frame) + HEARTBEAT for frame in frames)
    decoder, found = FrameDecoder(), []
    for size in cuts:
        piece, data = data[:size], data[size:]
        found += decoder.feed(piece)
    assert found + decoder.feed(data) == frames


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_format_is_read(line_end: bytes) -> None:
    lines = [
        b"retry: 1500",
        b"id: 7",
        b"event: x",
        b"data: one",
        b"data:two",
        b"unknown: field",
        b"",
        b"data: 3",
        b"",
        b": ",
    ]
    decoder = FrameDecoder()
    found = [frame for byte in line_end.join(lines) for frame in decoder.feed(bytes([byte]))]
    # The id holds until another one comes.
    assert found[:2] == [Frame("x", "one\ntwo", "7"), Frame("message", "3", "7")]
    assert decoder.retry_s == 1.5


def test_a_carriage_return_in_data_cannot_forge_a_field() -> None:
    (frame,) = FrameDecoder().feed(encode_frame(Frame("event", "a\rid: 9\r\nevent: end", "1")))
    assert frame == Frame("event", "a\nid: 9\nevent: end", "1")


def test_an_event_without_an_end_is_not_read_for_ever() -> None:
    decoder = FrameDecoder()
    for _ in range(16):
        decoder.feed(b"x" * 1_000_000)
    with pytest.raises(StrongroomError, match="more than"):
        decoder.feed(b"x" * 1_000_000)


def test_the_end_of_a_stream_says_whether_it_is_an_error() -> None:
    assert StreamEnd(reason=EndReason.ENDED).error is None
    assert StreamEnd(reason=EndReason.STOPPING, message="…").error is None
    refused = end_decoder.decode(
        encode(StreamEnd(reason=EndReason.REFUSED, message="revoked", code="access.unauthenticated"))
    ).error
    assert refused is not None
    assert (refused.code, refused.exit_status) == ("access.unauthenticated", 7)
    unknown = StreamEnd(reason=EndReason.FAILED, message="of tomorrow", code="made.up").error
    assert unknown is not None
    assert unknown.code == "internal"
