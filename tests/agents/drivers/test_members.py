"""Archives of several files: written as they flow, read by us and by stock tar."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.drivers.members import MAX_MEMBER_BYTES, MemberWriter, read_members
from agents.drivers.pipes import PipeReader, PipeWriter, piped_dump, piped_restore
from contracts.errors import Corrupt
from contracts.records import Attributes
from tests.agents.drivers.playing import feed, finish_dump, read_all
from tests.servers.tools import tool

MEMBERS = {
    "index.json": b'{"a": 1}',
    "empty": b"",
    "block": b"x" * 512,
    "over": b"y" * 513,
    "data-000001.ndjson": os.urandom(3_000_000),
    "a" * 64: b"z",
}


async def written(members: Mapping[str, bytes], *, end: bool = True) -> bytes:
    async def produce(pipe: PipeWriter) -> list[str]:
        writer = MemberWriter(pipe)
        for name, data in members.items():
            await writer.add(name, data)
        if end:
            await writer.end()
        return []

    async with piped_dump(produce, name="x") as source:
        archive = await asyncio.to_thread(read_all, source.fd)
        await finish_dump(source, archive)
    return archive


async def members_of(archive: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    async def consume(pipe: PipeReader) -> None:
        found.update({name: data async for name, data in read_members(pipe)})

    async def place() -> Attributes:
        return {}

    async with piped_restore(consume, place, name="x") as sink:
        await feed(sink, archive)
        await sink.finish()
    return found


def foreign(*members: tarfile.TarInfo) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return file.getvalue()


def named(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


@pytest.mark.parametrize("members", [MEMBERS, {}])
async def test_what_goes_in_comes_out(members: dict[str, bytes]) -> None:
    archive = await written(members)
    assert len(archive) % tarfile.RECORDSIZE == 0
    assert await members_of(archive) == members


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True), st.binary(max_size=1200), max_size=5))
async def test_any_members_come_out_as_they_went_in(members: dict[str, bytes]) -> None:
    assert await members_of(await written(members)) == members


async def test_stock_tar_extracts_it(tmp_path: Path) -> None:
    archive = await written(MEMBERS)
    subprocess.run([tool("tar"), "-x", "-C", str(tmp_path)], input=archive, check=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == MEMBERS
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


async def test_what_stock_tar_makes_of_such_files_is_read(tmp_path: Path) -> None:
    for name, data in MEMBERS.items():
        (tmp_path / name).write_bytes(data)
    command = [tool("tar"), "-c", "--format=ustar", "-C", str(tmp_path), *MEMBERS]
    made = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    assert await members_of(made) == MEMBERS


@pytest.mark.parametrize("cut", [1, 511, 512, 600, 2048, 3_000_000])
async def test_an_archive_that_ends_early_is_damaged(cut: int) -> None:
    archive = await written(MEMBERS, end=False)
    with pytest.raises(Corrupt) as caught:
        await members_of(archive[:cut])
    assert caught.value.code == "artifact.corrupt"


async def test_an_archive_without_its_end_mark_is_damaged() -> None:
    archive = await written(MEMBERS, end=False)
    for end in (b"", bytes(512)):
        with pytest.raises(Corrupt):
            await members_of(archive + end)
    assert await members_of(archive + bytes(1024)) == MEMBERS


async def test_half_an_end_mark_does_not_hide_what_follows() -> None:
    archive = await written(MEMBERS, end=False)
    with pytest.raises(Corrupt):
        await members_of(archive + bytes(512) + archive + bytes(1024))


@pytest.mark.parametrize("position", [0, 100, 124, 148, 156])
async def test_a_header_that_was_changed_is_damaged(position: int) -> None:
    archive = bytearray(await written(MEMBERS))
    archive[position] ^= 1
    with pytest.raises(Corrupt) as caught:
        await members_of(bytes(archive))
    assert "header" in caught.value.message


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=512, max_size=2048))
async def test_bytes_at_random_are_damage_and_no_traceback(data: bytes) -> None:
    if any(data[:512]):
        with pytest.raises(Corrupt):
            await members_of(data)


@pytest.mark.parametrize(
    "member",
    [
        named("../evil"),
        named("/etc/passwd"),
        named("a/b"),
        named("UPPER"),
        named("link", tarfile.SYMTYPE),
        named("link", tarfile.LNKTYPE),
        named("directory", tarfile.DIRTYPE),
        named("device", tarfile.CHRTYPE),
        named("x" * 65),
        named("x" * 150),
        named(".hidden"),
    ],
    ids=lambda member: f"{member.name[:10]} {member.type.decode()}",
)
async def test_a_member_that_we_would_not_write_is_refused(member: tarfile.TarInfo) -> None:
    with pytest.raises(Corrupt) as caught:
        await members_of(foreign(member))
    assert "does not belong there" in caught.value.message


async def test_a_member_that_would_not_fit_into_memory_is_refused_before_it_is_read() -> None:
    huge = tarfile.TarInfo("huge")
    huge.size = MAX_MEMBER_BYTES + 1
    with pytest.raises(Corrupt) as caught:
        await members_of(huge.tobuf(format=tarfile.USTAR_FORMAT))
    assert "does not belong there" in caught.value.message


@pytest.mark.parametrize("name", ["", "a/b", "../x", "Ä", "x" * 65, ".x", "x\n"])
async def test_only_plain_names_are_written(name: str) -> None:
    with pytest.raises(ValueError, match="no member"):
        await written({name: b""})
