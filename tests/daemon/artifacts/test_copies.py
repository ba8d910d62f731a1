"""What a download makes of stored bytes: the dump, or an error that says what is wrong with them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from contracts.age import Encryptor, Identity, make_header, parse_header, unwrap_file_key
from contracts.errors import Corrupt, Denied, InvalidInput
from contracts.records import ArtifactRecord
from daemon.artifacts.byte_pipe import BytePipe, PipeCancelled
from daemon.artifacts.copies import Copy, EncryptedCopy, PlainCopy
from daemon.cli.target_files import disk_writer
from tests.daemon.cli.stored import record_of, seal

PLAIN = os.urandom(300_000) + bytes(700_000)
PROJECT = Identity.generate()
READER = Identity.generate()


def sealed(compressed: bytes) -> bytes:
    encryptor = Encryptor([PROJECT.recipient])
    return encryptor.preamble + encryptor.update(compressed) + encryptor.finish()


def plain_copy(data: bytes, record: ArtifactRecord, reader: Identity = READER) -> PlainCopy:
    """As the coordinator grants it: the file key sealed to the reader."""
    header = parse_header(data)
    assert header is not None
    resealed = make_header(unwrap_file_key(header, [PROJECT]), [reader.recipient])
    return PlainCopy(record, READER, resealed, header.size)


async def copied(copy: Copy, data: bytes, chunk: int = 50_000) -> list[bytes]:
    """What it writes of the object."""
    pipe = BytePipe()
    written: list[bytes] = []
    task = asyncio.create_task(asyncio.to_thread(copy.write, pipe, lambda piece: written.append(bytes(piece))))
    for at in range(0, len(data), chunk):
        putting = asyncio.create_task(pipe.put(data[at : at + chunk]))
        await asyncio.wait({putting, task}, return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()
    pipe.close()
    await task
    return written


@pytest.mark.parametrize("chunk", [1_000, 65_536, 10_000_000])
@pytest.mark.parametrize("plain", [PLAIN, b"", b"x"], ids=["large", "empty", "tiny"])
async def test_the_dump_comes_out_however_its_bytes_arrive(plain: bytes, chunk: int) -> None:
    data = seal(plain, [str(PROJECT.recipient)])
    record = record_of(data, plain)
    assert b"".join(await copied(plain_copy(data, record), data, chunk)) == plain
    assert b"".join(await copied(EncryptedCopy(record), data, chunk)) == data


def changed_byte(data: bytes) -> bytes:
    return data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:]


def other_file(_: bytes) -> bytes:
    """What somebody who can write to the bucket could put there: it opens, but it is not what was stored."""
    return seal(bytes(len(PLAIN)), [str(PROJECT.recipient)])


@pytest.mark.parametrize(
    "damage",
    [changed_byte, other_file, lambda data: data[:-20], lambda data: data[:-65_000], lambda data: data + b"x"],
    ids=["changed", "replaced", "cut", "cut far", "extended"],
)
async def test_damage_is_found_both_ways(damage: Callable[[bytes], bytes]) -> None:
    data = seal(PLAIN, [str(PROJECT.recipient)])
    record = record_of(data, PLAIN)
    wrong = damage(data)
    for copy in (plain_copy(wrong, record), EncryptedCopy(record)):
        with pytest.raises(Corrupt) as caught:
            await copied(copy, wrong)
        assert caught.value.code == "artifact.corrupt"
        assert "'orders'" in caught.value.message


@pytest.mark.parametrize(
    ("compressed", "reason"),
    [
        (zstandard.ZstdCompressor().compress(PLAIN)[:-10], "it holds|not intact|SHA"),
        (zstandard.ZstdCompressor().compress(PLAIN) + b"more", "compression is not intact"),
        (zstandard.ZstdCompressor().compress(PLAIN + b"x"), "holds more than"),
        (zstandard.ZstdCompressor().compress(PLAIN[:-1]), "should hold"),
        (os.urandom(1000), "compression is not intact"),
        (b"", "should hold"),
    ],
    ids=["cut frame", "two frames", "more", "less", "noise", "nothing"],
)
async def test_a_record_that_does_not_fit_what_is_inside_is_found(compressed: bytes, reason: str) -> None:
    data = sealed(compressed)
    with pytest.raises(Corrupt, match=reason):
        await copied(plain_copy(data, record_of(data, PLAIN)), data)


async def test_a_key_for_somebody_else_is_denied() -> None:
    data = seal(PLAIN, [str(PROJECT.recipient)])
    with pytest.raises(Denied) as caught:
        await copied(plain_copy(data, record_of(data, PLAIN), Identity.generate()), data)
    assert caught.value.code == "key.unavailable"


async def test_what_is_compressed_very_well_comes_in_bounded_pieces() -> None:
    plain = bytes(64 * 1024 * 1024)
    data = sealed(zstandard.ZstdCompressor(level=19).compress(plain))
    assert len(data) < 20_000
    pieces = await copied(plain_copy(data, record_of(data, plain)), data)
    assert sum(map(len, pieces)) == len(plain)
    assert max(map(len, pieces)) <= 1024 * 1024


async def test_a_pipe_that_is_cancelled_ends_the_thread() -> None:
    data = seal(PLAIN, [str(PROJECT.recipient)])
    pipe = BytePipe()
    task = asyncio.create_task(asyncio.to_thread(plain_copy(data, record_of(data, PLAIN)).write, pipe, len))
    await pipe.put(data[:1000])
    pipe.cancel()
    with pytest.raises(PipeCancelled):
        await task


async def test_a_pipe_holds_its_writer_up() -> None:
    pipe = BytePipe()
    for _ in range(16):
        await pipe.put(b"x")
    waiting = asyncio.create_task(pipe.put(b"y"))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await asyncio.to_thread(pipe.get) == b"x"
    await waiting


def test_a_full_disk_is_a_sentence() -> None:
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(InvalidInput, match="x cannot be written: No space"),
    ):
        disk_writer(full, "x")(b"data")
