"""Where parts find room, and how threads wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agents.datapath import Staging, UploadLimits
from agents.datapath.blocks import BLOCK_BYTES, BlockPool
from agents.datapath.channel import Channel
from agents.datapath.places import Place
from agents.datapath.stop import Stopped, StopSignal
from contracts.multipart import MIB
from tests.servers.waiting import eventually_blocking


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    with StopSignal() as signal:
        yield signal


def staging_of(tmp_path: Path, *, memory_mib: int, spool_mib: int) -> Staging:
    return Staging(UploadLimits(spool_dir=str(tmp_path), memory_bytes=memory_mib * MIB, spool_bytes=spool_mib * MIB))


def reserve(staging: Staging, mib: int, stop: StopSignal, patience_s: float = 0.0) -> Place:
    return staging.reserve(mib * MIB, patience_s=patience_s, stop=stop)


def fill(place: Place, data: bytes) -> None:
    view = memoryview(data)
    while view:
        target = place.space()[: len(view)]
        target[:] = view[: len(target)]
        place.advance(len(target))
        view = view[len(target) :]
    place.end()


async def content(place: Place) -> bytes:
    return b"".join([bytes(piece) async for piece in place.slices()])


def test_memory_first_then_disk(tmp_path: Path, stop: StopSignal) -> None:
    staging = staging_of(tmp_path, memory_mib=8, spool_mib=8)
    places = [reserve(staging, 4, stop) for _ in range(4)]
    assert [place.on_disk for place in places] == [False, False, True, True]
    for place in places:
        place.release()
    assert staging.used_bytes == 0
    again = reserve(staging, 4, stop)
    assert not again.on_disk
    again.release()


def test_a_part_of_more_than_half_the_memory_goes_to_disk(tmp_path: Path, stop: StopSignal) -> None:
    staging = staging_of(tmp_path, memory_mib=8, spool_mib=100)
    small, large = reserve(staging, 4, stop), reserve(staging, 5, stop)
    assert (small.on_disk, large.on_disk) == (False, True)
    small.release()
    large.release()


def test_two_large_parts_fit_whatever_the_spools_bound(tmp_path: Path, stop: StopSignal) -> None:
    staging = staging_of(tmp_path, memory_mib=2, spool_mib=0)
    first, second = reserve(staging, 64, stop), reserve(staging, 64, stop)
    with ThreadPoolExecutor(1) as threads:
        third = threads.submit(reserve, staging, 64, stop)
        assert staging.spooled_bytes == 128 * MIB
        first.release()
        third.result(timeout=10).release()
    second.release()
    assert staging.used_bytes == 0


def test_a_thread_that_waits_for_room_ends_when_its_transfer_does(tmp_path: Path, stop: StopSignal) -> None:
    staging = staging_of(tmp_path, memory_mib=2, spool_mib=0)
    held = [reserve(staging, 64, stop), reserve(staging, 64, stop)]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(reserve, staging, 64, stop)
        stop.set()
        with pytest.raises(Stopped):
            waiting.result(timeout=10)
    for place in held:
        place.release()


def test_a_patient_part_waits_for_memory(tmp_path: Path, stop: StopSignal) -> None:
    staging = staging_of(tmp_path, memory_mib=4, spool_mib=100)
    held = [reserve(staging, 2, stop), reserve(staging, 2, stop)]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(reserve, staging, 2, stop, 60.0)
        held[0].release()
        place = waiting.result(timeout=10)
    assert not place.on_disk
    place.release()
    held[1].release()


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 17])
async def test_a_place_gives_back_what_was_put_in_as_often_as_asked(
    tmp_path: Path, stop: StopSignal, on_disk: bool, size: int
) -> None:
    staging = staging_of(tmp_path, memory_mib=1 if on_disk else 8, spool_mib=8)
    place = reserve(staging, 4, stop)
    assert place.on_disk is on_disk
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    fill(place, data)
    assert await content(place) == data
    assert await content(place) == data
    place.release()
    place.release()
    assert staging.used_bytes == 0


def test_a_short_part_gives_back_the_memory_that_it_does_not_need(tmp_path: Path, stop: StopSignal) -> None:
    staging = staging_of(tmp_path, memory_mib=8, spool_mib=0)
    place = reserve(staging, 4, stop)
    fill(place, b"only a few bytes")
    assert staging.used_bytes == MIB
    place.release()
    assert staging.used_bytes == 0


def test_blocks_are_handed_out_once() -> None:
    pool = BlockPool(3 * BLOCK_BYTES)
    assert pool.promise(3)
    assert not pool.promise(1)
    blocks = [pool.take() for _ in range(3)]
    for number, block in enumerate(blocks):
        block[:] = bytes([number]) * BLOCK_BYTES
    assert [block[0] for block in blocks] == [0, 1, 2]
    pool.give_back(blocks, 3)
    assert pool.promised_bytes == 0


def test_a_channel_keeps_order_and_waits_when_it_is_full() -> None:
    channel: Channel[int] = Channel(2)
    put: list[int] = []

    def produce() -> None:
        for number in range(100):
            channel.put(number)
            put.append(number)
        channel.close()

    producer = threading.Thread(target=produce)
    producer.start()
    eventually_blocking(lambda: put == [0, 1])
    assert [channel.get() for _ in range(100)] == list(range(100))
    assert channel.get() is None
    producer.join()


@pytest.mark.parametrize("side", ["put", "get"])
def test_a_cancelled_channel_ends_both_sides(side: str) -> None:
    channel: Channel[int] = Channel(1)
    if side == "put":
        channel.put(1)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(channel.put, 2) if side == "put" else threads.submit(channel.get)
        channel.cancel()
        with pytest.raises(Stopped):
            waiting.result(timeout=10)
    with pytest.raises(Stopped):
        channel.put(3)
